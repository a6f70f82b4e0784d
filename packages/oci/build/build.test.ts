import assert from "node:assert/strict";
import { test } from "node:test";
import type { ImageConfig } from "../index.ts";
import {
  chooseCapabilities,
  containerSpec,
  defaultSpec,
  dockerSeccomp,
  mergeEnvironment,
  parseMount,
  parseTmpfs,
  parseVolume,
  resolveUser,
  stringifyJson,
  validateSpec,
} from "../index.ts";

const image: ImageConfig = {
  architecture: "amd64",
  os: "linux",
  rootfs: { type: "layers", diff_ids: [] },
  config: { Env: ["PATH=/bin", "A=1"], Entrypoint: ["/entry"], Cmd: ["serve"], WorkingDir: "/srv" },
};
const names = { id: "a".repeat(64), namespace: "default" };

test("default specs are valid, and rootless ones map one id", () => {
  assert.equal(validateSpec(defaultSpec()).hostname, "runc");
  const rootless = validateSpec(defaultSpec({ rootless: { uid: 1000, gid: 1001 } }));
  assert.deepEqual(rootless.linux?.uidMappings, [{ containerID: 0, hostID: 1000, size: 1 }]);
  assert.ok(rootless.linux?.namespaces?.every((n) => n.type !== "network"));
  assert.ok(rootless.mounts?.some((m) => m.source === "/sys" && m.options?.[0] === "rbind"));
});

test("a container's spec follows image and options", () => {
  const plain = validateSpec(containerSpec(image, names));
  assert.deepEqual(plain.process?.args, ["/entry", "serve"]);
  assert.deepEqual(plain.process?.env, ["PATH=/bin", "HOSTNAME=aaaaaaaaaaaa", "A=1", "HOME=/root"]);
  assert.equal(plain.process?.cwd, "/srv");
  assert.equal(plain.process?.capabilities?.bounding?.length, 14);
  assert.equal(plain.linux?.cgroupsPath, `/default/${names.id}`);
  const rich = validateSpec(
    containerSpec(image, {
      ...names,
      entrypoint: ["/bin/sh"],
      args: ["-c", "x"],
      env: ["A=2", "B=3", "PATH"],
      memory: 1 << 20,
      cpus: 1.5,
      pids: 10,
      network: "host",
      terminal: true,
      readonly: true,
      mounts: [parseVolume("/tmp:/dev/shm:ro").mount],
      seccomp: dockerSeccomp({ machine: "amd64", capabilities: [] }),
    }),
  );
  assert.deepEqual(rich.process?.args, ["/bin/sh", "-c", "x"]);
  assert.deepEqual(rich.process?.env, ["HOSTNAME=aaaaaaaaaaaa", "TERM=xterm", "A=2", "B=3", "HOME=/root"]);
  assert.deepEqual(rich.linux?.resources?.cpu, { period: 100000, quota: 150000 });
  assert.equal(rich.mounts?.filter((m) => m.destination === "/dev/shm").length, 1);
  assert.ok(rich.mounts?.some((m) => m.source === "/etc/resolv.conf"));
  assert.ok(rich.linux?.namespaces?.every((n) => n.type !== "network"));
});

test("privileged containers see everything", () => {
  const spec = validateSpec(
    containerSpec(image, {
      ...names,
      privileged: true,
      seccomp: { defaultAction: "SCMP_ACT_KILL" },
      hostDevices: [{ path: "/dev/kvm", type: "c", major: 10, minor: 232 }],
    }),
  );
  assert.equal(spec.process?.capabilities?.bounding?.length, 41);
  assert.equal(spec.linux?.seccomp, undefined);
  assert.equal(spec.linux?.maskedPaths, undefined);
  assert.ok(!spec.mounts?.find((m) => m.destination === "/sys")?.options?.includes("ro"));
  assert.equal(spec.linux?.devices?.length, 1);
});

test("a container needs a command from its image or its options", () => {
  assert.throws(() => containerSpec({ ...image, config: {} }, names), /no command specified/);
  assert.throws(() => containerSpec(image, { ...names, entrypoint: [] }), /no command specified/);
  assert.throws(() => containerSpec(image, { ...names, cwd: "x" }), /expected an absolute path/);
  const twice = [parseTmpfs("/a").mount, parseTmpfs("/a/").mount];
  assert.throws(() => containerSpec(image, { ...names, mounts: twice }), /duplicate mount point: \/a/);
});

test("capabilities by docker's rules", () => {
  assert.ok(chooseCapabilities({ add: ["net_admin"] }).includes("CAP_NET_ADMIN"));
  assert.deepEqual(chooseCapabilities({ drop: ["all"], add: ["CAP_KILL"] }), ["CAP_KILL"]);
  assert.equal(chooseCapabilities({ add: ["ALL"], drop: ["KILL"] }).length, 40);
  assert.deepEqual(chooseCapabilities({ privileged: true, available: ["CAP_KILL"] }), ["CAP_KILL"]);
  assert.throws(() => chooseCapabilities({ add: ["FLY"] }), /--cap-add: found "FLY", expected a capability/);
});

test("environments merge by name", () => {
  assert.deepEqual(mergeEnvironment(["A=1", "B=2"], ["B=3", "C=", "A"]), ["B=3", "C="]);
});

test("users by name, number and group", () => {
  const passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/var/www:/bin/sh\nbroken\n";
  const group = "root:x:0:\nweb:x:34:\ndisk:x:6:root,web\n";
  assert.deepEqual(resolveUser("", passwd, group), { uid: 0, gid: 0, additionalGids: [0, 6], home: "/root" });
  assert.deepEqual(resolveUser("web", passwd, group), {
    uid: 33,
    gid: 34,
    additionalGids: [34, 6],
    home: "/var/www",
  });
  assert.deepEqual(resolveUser("33:disk", passwd, group).additionalGids, [6]);
  assert.deepEqual(resolveUser("1234", "", ""), { uid: 1234, gid: 0, additionalGids: [0], home: "/" });
  assert.throws(() => resolveUser("ghost", passwd, group), /unable to find user ghost/);
  assert.throws(() => resolveUser("0:ghost", passwd, group), /unable to find group ghost/);
  assert.throws(() => resolveUser("-1", passwd, group), /expected ids from 0/);
  assert.throws(() => resolveUser("a:b:c", passwd, group), /expected "user" or "user:group"/);
});

test("mounts in docker's syntax", () => {
  assert.deepEqual(parseVolume("/a:/b:ro,rslave").mount.options, ["rbind", "ro", "rslave"]);
  assert.deepEqual(parseTmpfs("/run:size=1m,exec").mount.options, [
    "noexec",
    "nosuid",
    "nodev",
    "size=1m",
    "exec",
  ]);
  assert.deepEqual(parseMount("type=bind,src=/a,dst=/b,readonly").mount, {
    destination: "/b",
    type: "bind",
    source: "/a",
    options: ["rbind", "ro", "rprivate"],
  });
  assert.throws(() => parseVolume("name:/b"), /named volumes are not supported/);
  assert.throws(() => parseVolume("/b"), /anonymous volumes/);
  assert.throws(() => parseVolume("/a:/b:z"), /expected options of/);
  assert.throws(() => parseMount("type=volume,dst=/b"), /volumes are not supported/);
  assert.throws(() => parseMount("type=bind,src=/a,dst=/b,shiny=1"), /it has "shiny"/);
});

test("no bigint or undefined gets into the JSON", () => {
  assert.doesNotThrow(() => JSON.parse(stringifyJson(containerSpec(image, names))));
});
