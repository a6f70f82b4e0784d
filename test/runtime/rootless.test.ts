/** Containers without root: an ordinary user, one with subordinate ids, and root of a user namespace. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import type { Spec } from "@berth/oci";
import { BERTH_RUNC, type Bundle, makeBundle, traces } from "../support/bundles.ts";
import { ROOT } from "../support/checkout.ts";

const USER = 4711;

let baseline: string[] = [];
before(() => {
  baseline = traces();
});
after(() => assert.deepEqual(traces(), baseline, "something was left behind"));

function give(folder: string): void {
  lchownSync(folder, USER, USER);
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return;
  for (const name of readdirSync(folder)) {
    try {
      give(join(folder, name));
    } catch {
      // A dangling link has its own owner, which does not matter.
    }
  }
}

/** Differences of an ordinary user's container: its own ids, no network namespace to mount /sys for, no limits. */
function rootless(s: Spec): void {
  s.process!.terminal = false;
  s.linux!.namespaces = s.linux!.namespaces!.filter((n) => n.type !== "network");
  s.linux!.namespaces.push({ type: "user" });
  s.linux!.uidMappings = [{ containerID: 0, hostID: USER, size: 1 }];
  s.linux!.gidMappings = [{ containerID: 0, hostID: USER, size: 1 }];
  delete s.linux!.resources;
  s.mounts = s.mounts!.filter((m) => m.type !== "sysfs" && m.type !== "cgroup");
  s.mounts.push({ destination: "/sys", type: "none", source: "/sys", options: ["rbind", "ro"] });
  for (const mount of s.mounts)
    if (mount.options) mount.options = mount.options.filter((o) => !o.startsWith("gid="));
}

/**
 * Arguments of unshare(1) for a call of berth-runc by the user, in a separate mount namespace: the checkout is
 * mounted in the bundle there, as the folders above it may be accessible to root only. `prepare` is a script that
 * runs before.
 */
function byUser(b: Bundle, args: readonly string[], prepare = ""): string[] {
  const program = join(b.folder, "program");
  mkdirSync(program, { recursive: true });
  give(b.folder);
  const identity = `--reuid ${USER} --regid ${USER} --clear-groups`;
  const script = `${prepare}
mount --bind '${ROOT}' '${program}'; exec setpriv ${identity} '${program}/bin/berth-runc' --root '${b.root}' "$@"`;
  return ["-m", "--propagation", "private", "sh", "-euc", script, "sh", ...args];
}

/** A bundle that belongs to the user, and berth-runc run by that user. */
function userBundle(t: TestContext): Bundle & { user(...args: string[]): ReturnType<typeof spawnSync> } {
  const b = makeBundle(t);
  chmodSync(b.folder, 0o755);
  mkdirSync(b.root);
  return {
    ...b,
    user: (...args) =>
      spawnSync("unshare", byUser(b, args), {
        cwd: b.folder,
        encoding: "utf8",
        timeout: 20_000,
        stdio: ["ignore", "pipe", "pipe"],
      }),
  };
}

test("an ordinary user runs a container: root inside, itself outside", (t) => {
  const b = userBundle(t);
  b.configure((s) => {
    rootless(s);
    s.process!.args = [
      "sh",
      "-c",
      "id -u; cat /proc/self/uid_map; echo x > /dev/null && touch /dev/shm/x && echo wrote",
    ];
  });
  const ran = b.user("run", b.id);
  assert.equal(ran.status, 0, String(ran.stderr));
  assert.match(String(ran.stdout), /^0\n\s+0\s+4711\s+1\nwrote\n$/);
});

test("its lifecycle: detached, listed, exec'd, killed, deleted", (t) => {
  const b = userBundle(t);
  b.configure((s) => {
    rootless(s);
    s.process!.args = ["sleep", "100"];
  });
  const log = openSync(join(b.folder, "log"), "w");
  assert.equal(
    spawnSync("unshare", byUser(b, ["run", "-d", b.id]), { cwd: b.folder, stdio: ["ignore", log, log] })
      .status,
    0,
    readFileSync(join(b.folder, "log"), "utf8"),
  );
  assert.match(String(b.user("state", b.id).stdout), /"status": "running"/);
  assert.equal(String(b.user("exec", b.id, "id", "-u").stdout), "0\n");
  assert.match(String(b.user("ps", b.id).stdout), /sleep 100/);
  assert.equal(b.user("delete", "--force", b.id).status, 0);
  assert.deepEqual(
    readdirSync(b.root).filter((name) => !name.startsWith(".")),
    [],
  );
});

test("more ids than the user's own are mapped by newuidmap, or the error gives the reason", (t) => {
  const b = userBundle(t);
  b.configure((s) => {
    rootless(s);
    s.linux!.uidMappings!.push({ containerID: 1, hostID: 200000, size: 1000 });
    s.linux!.gidMappings!.push({ containerID: 1, hostID: 200000, size: 1000 });
    s.process!.args = ["cat", "/proc/self/uid_map"];
  });
  const refused = b.user("run", b.id);
  assert.equal(refused.status, 1);
  assert.match(String(refused.stderr), /cannot map uids by .*newuidmap.*(not allowed|Cannot determine)/);
  // Subordinate ids for this user, in a mount namespace: the machine's own files are not changed.
  const passwd = join(b.folder, "passwd");
  const subids = join(b.folder, "subids");
  writeFileSync(passwd, `root:x:0:0::/root:/bin/sh\nberther:x:${USER}:${USER}::/:/bin/sh\n`);
  writeFileSync(subids, "berther:200000:1000\n");
  const files = { passwd, subuid: subids, subgid: subids };
  const missing = Object.keys(files).filter((name) => !existsSync(`/etc/${name}`));
  for (const name of missing) writeFileSync(`/etc/${name}`, "");
  t.after(() => {
    for (const name of missing) rmSync(`/etc/${name}`);
  });
  const binds = Object.entries(files).map(([name, file]) => `mount --bind ${file} /etc/${name}`);
  const command = byUser(b, ["run", b.id], binds.join("\n"));
  // The helpers trust files owned by root.
  for (const file of [passwd, subids]) chownSync(file, 0, 0);
  const ran = spawnSync("unshare", command, {
    cwd: b.folder,
    encoding: "utf8",
    timeout: 20_000,
    stdio: ["ignore", "pipe", "pipe"],
  });
  assert.equal(ran.status, 0, ran.stderr);
  assert.match(ran.stdout, /^\s+0\s+4711\s+1\n\s+1\s+200000\s+1000\n$/);
});

test("root of a user namespace runs containers in it", (t) => {
  const b = makeBundle(t);
  b.configure((s) => {
    rootless(s);
    s.linux!.namespaces = s.linux!.namespaces!.filter((n) => n.type !== "user");
    delete s.linux!.uidMappings;
    delete s.linux!.gidMappings;
    s.process!.args = ["sh", "-c", "id -u; : < /dev/zero && echo device"];
  });
  const ran = spawnSync("unshare", ["-r", "-m", BERTH_RUNC, "--root", b.root, "run", b.id], {
    cwd: b.folder,
    encoding: "utf8",
    timeout: 20_000,
    stdio: ["ignore", "pipe", "pipe"],
  });
  assert.equal(ran.status, 0, ran.stderr);
  assert.equal(ran.stdout, "0\ndevice\n");
});

test("limits that the user may not set are an error that names the controller", (t) => {
  const b = userBundle(t);
  b.configure((s) => {
    rootless(s);
    s.linux!.resources = { pids: { limit: 10 } };
  });
  const { status, stderr } = b.user("run", b.id);
  assert.equal(status, 1);
  assert.match(String(stderr), /pids\.max needs the cgroup controller .*this user may not use/);
});
