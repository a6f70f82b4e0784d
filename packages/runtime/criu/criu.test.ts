import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultSpec } from "@berth/oci";
import { MessageReader, MessageWriter } from "@berth/protobuf";
import { FakeSys } from "@berth/sys";
import { parseLayout } from "../cgroups/layout.ts";
import { cgroupPaths } from "../cgroups/paths.ts";
import { sendRequest } from "./conversation.ts";
import { criuFailure, findCriu, lastErrors } from "./criu.ts";
import { inheritedStreams } from "./descriptors.ts";
import {
  externalForDump,
  externalForRestore,
  hostMounts,
  namespacesForDump,
  namespacesForRestore,
  parseMounts,
} from "./external.ts";
import { pipeDescriptors, pipesForFifos } from "./fifo-image.ts";
import { compileRestore } from "./restore-plan.ts";
import { decodeResponse, encodeFeatureCheck, encodeNotifyResponse, encodeRequest } from "./rpc.ts";
import { cgroupMode, emptyNamespaces, networkLock, pageServer } from "./settings.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const LAYOUT = parseLayout(
  "30 1 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n31 1 0:27 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n",
);

test("requests have CRIU's field numbers", () => {
  const request = new MessageReader(
    encodeRequest("dump", {
      imageFolder: 7,
      logFile: "dump.log",
      root: "/r",
      pid: 99,
      leaveRunning: true,
      cgroupMode: "ignore",
      networkLock: "skip",
      pageServer: { address: "::1", port: 27 },
      external: ["mnt[/a]:/a", "net[4]:extRootNetNS"],
    }),
  );
  assert.equal(request.number(1), 1);
  const o = request.message(2)!;
  assert.deepEqual(
    [o.number(1), o.number(2), o.flag(3), o.number(9), o.text(10)],
    [7, 99, true, 4, "dump.log"],
  );
  assert.deepEqual(
    [o.flag(12), o.text(13), o.number(34), o.flag(50), o.number(64)],
    [true, "/r", 0, true, 3],
  );
  assert.deepEqual(
    [o.message(11)?.text(1), o.message(11)?.number(2), o.text(37)],
    ["::1", 27, "net[4]:extRootNetNS"],
  );
  const restored = new MessageReader(
    encodeRequest("restore", {
      imageFolder: 7,
      logFile: "restore.log",
      root: "/r",
      sibling: true,
      inherit: [{ key: "pipe:[5]", fd: 1 }],
      join: [{ type: "ipc", path: "/proc/1/ns/ipc" }],
      cgroupRoots: [{ controller: "memory", path: "/c" }],
      external: [],
    }),
  ).message(2)!;
  assert.deepEqual([restored.flag(26), restored.number(34)], [true, 6]);
  assert.deepEqual([restored.message(27)?.text(1), restored.message(27)?.number(2)], ["pipe:[5]", 1]);
  assert.deepEqual(
    [restored.message(39)?.text(2), restored.message(25)?.text(1)],
    ["/proc/1/ns/ipc", "memory"],
  );
  assert.equal(hex(encodeFeatureCheck("lazyPages")), "08092a021001");
  assert.equal(hex(encodeNotifyResponse(false)), "08061800");
});

const notify = (script: string, pid: number) =>
  new MessageWriter()
    .number(1, 6)
    .flag(2, true)
    .message(5, new MessageWriter().text(1, script).number(2, pid))
    .finish();
const done = (success: boolean) =>
  new MessageWriter()
    .number(1, 2)
    .number(2, success ? 1 : 0)
    .message(4, new MessageWriter().number(1, 55))
    .finish();

test("notifications are handled and acknowledged, descriptors reach the handler", async () => {
  const sys = new FakeSys();
  sys.messages.push({ bytes: notify("orphan-pts-master", 0), descriptors: [9] });
  sys.messages.push({ bytes: notify("post-restore", 55), descriptors: [] });
  sys.messages.push({ bytes: done(true), descriptors: [] });
  const seen: unknown[] = [];
  const response = await sendRequest(sys, 3, new Uint8Array(1), (...args) => {
    seen.push(args);
  });
  assert.deepEqual(seen, [
    ["orphan-pts-master", 0, 9],
    ["post-restore", 55, undefined],
  ]);
  assert.deepEqual([response.success, response.pid], [true, 55]);
  await assert.rejects(
    sendRequest(sys, 3, new Uint8Array(1), () => {}),
    /criu ended without an answer/,
  );
});

test("an error of a handler stops CRIU and is thrown", async () => {
  const sys = new FakeSys();
  sys.messages.push({ bytes: notify("setup-namespaces", 5), descriptors: [] });
  sys.messages.push({ bytes: done(false), descriptors: [] });
  const fails = sendRequest(sys, 3, new Uint8Array(1), () => {
    throw new Error("the hook failed");
  });
  await assert.rejects(fails, /the hook failed/);
});

test("a failure quotes CRIU's last errors", () => {
  const log =
    "(00.1) start\n(00.2) Error (criu/a.c:1): rlimit: Can't setup RLIMIT_NOFILE for self: x\n(00.3) Error (criu/b.c:2): b failed\n(00.4) more\n     1: Error (criu/c.c:3): c failed\n";
  assert.deepEqual(lastErrors(log), ["Error (criu/b.c:2): b failed", "1: Error (criu/c.c:3): c failed"]);
  const sys = new FakeSys().put("/w/dump.log", log);
  const error = criuFailure(sys, "dump container c", decodeResponse(done(false)), "/w/dump.log");
  assert.match(error.message, /criu failed to dump container c: Error \(criu\/b.c:2\): b failed; 1: Error/);
  assert.equal(error.path, "/w/dump.log");
  assert.match(criuFailure(sys, "dump", decodeResponse(done(false)), "/none").message, /errno 0/);
  assert.throws(() => findCriu(new FakeSys()), /criu was not found/);
});

const spec = () => {
  const s = defaultSpec();
  s.mounts!.push(
    { destination: "/data/", type: "bind", source: "data", options: ["rbind"] },
    { destination: "/link", type: "none", source: "/host", options: ["bind"] },
    { destination: "/data/for/nested", type: "bind", source: "/nested" },
  );
  s.linux!.namespaces = s.linux!.namespaces!.filter((n) => n.type !== "cgroup");
  return s;
};

test("host mounts are external: the image holds a name, which a restore maps to a path", () => {
  const s = spec();
  const mounts = hostMounts(s, "/bundle", LAYOUT, cgroupPaths(LAYOUT, "/c", "c"));
  assert.deepEqual(
    mounts.map((m) => [m.destination, m.source, m.recursive]),
    [
      ["/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/c", true],
      ["/sys/fs/cgroup/freezer", "/sys/fs/cgroup/freezer/c", true],
      ["/data", "/bundle/data", true],
      ["/link", "/host", false],
      ["/data/for/nested", "/nested", false],
    ],
  );
  const line = (mountpoint: string, root = "/") => `1 2 0:3 ${root} ${mountpoint} rw - x x rw`;
  const inside = parseMounts(
    [
      line("/"),
      line("/data"),
      line("/data/sub\\040dir"),
      line("/real"),
      line("/proc/kcore", "/null"),
      line("/proc/acpi"),
    ].join("\n"),
  );
  assert.deepEqual(
    externalForDump(s, mounts, inside, (path) => (path === "/link" ? "/real" : path)),
    [
      "mnt[/data]:/data",
      "mnt[/data/sub dir]:/data/sub dir",
      "mnt[/real]:/link",
      "mnt[/proc/kcore]:/dev/null",
    ],
  );
  const outside = parseMounts(line("/bundle/data/sub\\040dir"));
  const restored = externalForRestore(s, mounts, outside, (path) => (path === "/link" ? "/real" : path));
  for (const entry of [
    "mnt[/data]:/bundle/data",
    "mnt[/data/sub dir]:/bundle/data/sub dir",
    "mnt[/link]:/host",
    "mnt[/real]:/host",
    "mnt[/dev/null]:/dev/null",
  ])
    assert.ok(restored.includes(entry), entry);
});

test("namespaces given by path are left alone or joined", () => {
  const namespaces = [
    { type: "network" as const, path: "/run/netns/a" },
    { type: "ipc" as const, path: "/proc/9/ns/ipc" },
    { type: "pid" as const },
  ];
  assert.deepEqual(
    namespacesForDump(namespaces, (file) => (file === "net" ? 77 : 0)),
    ["net[77]:extRootNetNS"],
  );
  assert.deepEqual(namespacesForRestore(namespaces), {
    passed: [{ key: "extRootNetNS", path: "/run/netns/a" }],
    joined: [{ type: "ipc", path: "/proc/9/ns/ipc" }],
  });
  assert.throws(
    () => namespacesForRestore([{ type: "cgroup", path: "/x" }]),
    /cannot restore into the cgroup/,
  );
});

test("pipes of the image are replaced by the caller's streams", () => {
  const sys = new FakeSys().put("/i/descriptors.json", '["/dev/null","pipe:[12]","pipe:[13]","pipe:[14]"]');
  assert.deepEqual(inheritedStreams(sys, "/i"), [
    { key: "pipe:[12]", fd: 1 },
    { key: "pipe:[13]", fd: 2 },
  ]);
  assert.deepEqual(inheritedStreams(sys, "/none"), []);
});

test("invalid flag values are refused by the flag's name", () => {
  assert.deepEqual(pageServer("[::1]:80"), { address: "::1", port: 80 });
  assert.deepEqual(pageServer("10.0.0.1:27277"), { address: "10.0.0.1", port: 27277 });
  assert.throws(() => pageServer("10.0.0.1"), /--page-server.*ADDRESS:PORT/);
  assert.throws(() => pageServer("a:99999"), /--page-server/);
  assert.throws(() => cgroupMode("constructor"), /--manage-cgroups-mode/);
  assert.equal(networkLock(""), undefined);
  assert.equal(emptyNamespaces(["network"]), 0x40000000);
  assert.throws(() => emptyNamespaces(["ipc"]), /--empty-ns: found "ipc", expected network/);
});

test("CRIU runs in its own mount namespace, with mount points for host mounts", () => {
  const s = spec();
  const cgroup = {
    layout: LAYOUT,
    paths: cgroupPaths(LAYOUT, "/c", "c"),
    facts: { cpusets: [], delegate: [] },
  };
  const plan = compileRestore({
    spec: s,
    rootfs: "/bundle/rootfs",
    rootMounts: [],
    mounts: hostMounts(s, "/bundle", LAYOUT, cgroup.paths),
    cgroup,
    kernelRelease: "6.1.0",
    criu: "/usr/sbin/criu",
    searchPath: "/bin",
    passed: 2,
  });
  assert.equal(plan.cloneFlags, 0x20000);
  const words = plan.sections.child.map((op) => op.words);
  const at = (text: string) => words.indexOf(text);
  assert.ok(at("find or make /data") < at("mount /bundle/data on /data"));
  assert.ok(at("mount /bundle/data on /data") < at("find or make /data/for/nested"));
  assert.equal(at("find or make /dev/pts"), -1, "CRIU restores the content of the file system it is on");
  assert.ok(at("mount /nested on /data/for/nested") < at("mount the copy on /bundle/rootfs"));
  assert.deepEqual(plan.sections.child.at(-1)?.args, [3, "criu", "swrk", "3", "PATH=/bin"]);
  assert.deepEqual(
    plan.sections.child.filter((op) => op.name === "dup").map((op) => op.args),
    [
      [0, 3],
      [1, 4],
    ],
  );
  const entered = plan.sections.enter.filter((op) => op.name === "enter_cgroup");
  assert.equal(entered.length, 2, "CRIU enters the container's cgroups");
});

test("a host FIFO becomes a pipe in the image, everything else is unchanged", () => {
  const owner = new MessageWriter().number(1, 0);
  const file = (id: number, name: string) =>
    new MessageWriter()
      .number(1, 1)
      .number(2, id)
      .message(3, new MessageWriter().number(1, id).number(2, 0o100001).message(5, owner).text(6, name))
      .finish();
  const fifo = (id: number, pipe: number, regular: number) =>
    new MessageWriter()
      .number(1, 3)
      .number(2, id)
      .message(17, new MessageWriter().number(1, id).number(2, pipe).number(3, regular))
      .finish();
  const descriptor = (id: number, type: number) =>
    new MessageWriter().number(1, id).number(2, 0).number(3, type).number(4, 1).finish();
  const image = (...entries: Uint8Array[]) =>
    Buffer.concat([
      Buffer.from("magicnum"),
      ...entries.flatMap((e) => [Buffer.from(new Uint32Array([e.length]).buffer), e]),
    ]);
  const outside = file(4, "file[1b:2a]");
  const inside = file(6, "/run/fifo");
  const made = pipesForFifos(image(outside, fifo(3, 42, 4), inside, fifo(5, 43, 6)), "files.img");
  const pipe = new MessageWriter()
    .number(1, 2)
    .number(2, 3)
    .message(18, new MessageWriter().number(1, 3).number(2, 42).number(3, 1).message(4, owner))
    .finish();
  assert.deepEqual(made.pipes, new Map([[3, 42]]));
  assert.deepEqual(Buffer.from(made.image), image(outside, pipe, inside, fifo(5, 43, 6)));
  assert.deepEqual(
    Buffer.from(pipeDescriptors(image(descriptor(3, 3), descriptor(5, 3)), "fdinfo-2.img", made.pipes)),
    image(descriptor(3, 2), descriptor(5, 3)),
  );
  assert.throws(() => pipesForFifos(Buffer.from("magicnum\u0009\0\0\0"), "files.img"), /cut off at byte 8/);
});
