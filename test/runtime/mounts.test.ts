/** `mounts add` and `mounts remove`: changing the mounts of a running container. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Mount, Spec } from "@berth/oci";
import { BERTH_RUNC, type Bundle, makeBundle, traces } from "../support/bundles.ts";
import { weakenedInit } from "../support/weakened.ts";

let baseline: string[] = [];
before(() => {
  baseline = traces();
});
after(() => assert.deepEqual(traces(), baseline, "something was left behind"));

function start(b: Bundle, change: (spec: Spec) => void = () => {}): void {
  b.configure((s) => {
    s.process!.args = ["sleep", "100"];
    s.root!.readonly = false;
    change(s);
  });
  assert.equal(b.detached("run", "-d", b.id), 0);
}

function mounts(b: Bundle, how: string, list: unknown) {
  writeFileSync(join(b.folder, "mounts.json"), JSON.stringify(list));
  return b.runc("mounts", how, b.id, "mounts.json");
}

function change(b: Bundle, how: string, list: Mount[]): void {
  const done = mounts(b, how, list);
  assert.equal(done.status, 0, done.stderr);
}

const inside = (b: Bundle, text: string) => b.runc("exec", b.id, "sh", "-c", text).stdout;
const mapped = (s: Spec) => {
  s.linux!.namespaces!.push({ type: "user" });
  s.linux!.uidMappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
  s.linux!.gidMappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
};

for (const [kind, shape] of [
  ["root's own", () => {}],
  ["one with a user namespace", mapped],
] as const) {
  test(`host folders and files, and new file systems, are added and removed: ${kind}`, (t) => {
    const b = makeBundle(t);
    if (shape === mapped) chownSync(b.rootfs, 100_000, 100_000);
    mkdirSync(join(b.folder, "data"));
    writeFileSync(join(b.folder, "data/word"), "bound");
    start(b, shape);
    const owners = shape === mapped ? ["idmap"] : [];
    const list: Mount[] = [
      {
        destination: "/run/new/data",
        type: "bind",
        source: join(b.folder, "data"),
        options: ["rbind", "ro"],
      },
      { destination: "/run/word", type: "bind", source: "data/word", options: ["bind", ...owners] },
      { destination: "/run/scratch", type: "tmpfs", source: "tmpfs", options: ["nosuid", "size=64k"] },
      { destination: "/run/proc", type: "proc", source: "proc" },
    ];
    change(b, "add", list);
    const look =
      "cat /run/new/data/word /run/word; touch /run/new/data/x /run/scratch/x; ls -ln /run/scratch";
    const seen = inside(b, look);
    assert.match(seen, /^boundbound/);
    assert.match(seen, /0 +0 .* x$/m);
    assert.equal(inside(b, "stat -c %u:%g /run/word"), "0:0\n");
    assert.equal(inside(b, "test -e /run/new/data/x || echo refused"), "refused\n");
    assert.equal(inside(b, "tr '\\0' ' ' </run/proc/1/cmdline"), "sleep 100 ", "its own pid namespace");
    const table = () => inside(b, "cat /proc/self/mountinfo");
    assert.match(table(), /\/run\/scratch .*nosuid.* - tmpfs .*size=64k/);
    assert.doesNotMatch(readFileSync("/proc/self/mountinfo", "utf8"), /\/run\/(new|scratch)/);
    change(b, "remove", list);
    assert.doesNotMatch(table(), /\/run\//);
    assert.equal(inside(b, "ls /run/new/data"), "");
    assert.equal(readFileSync(join(b.folder, "data/word"), "utf8"), "bound");
  });
}

test("symbolic links in the container redirect neither a mount outside nor a removal to its masks", (t) => {
  const b = makeBundle(t);
  writeFileSync(join(b.rootfs, "secret"), "secret");
  start(b, (s) => s.linux!.maskedPaths!.push("/secret"));
  const masked = "wc -c </secret";
  assert.equal(inside(b, `ln -s /../../../etc /out; ln -s /secret /mask; mkdir /made; ${masked}`), "0\n");
  const tmpfs = (destination: string): Mount => ({ destination, type: "tmpfs", source: "tmpfs" });
  change(b, "add", [tmpfs("/out/inner")]);
  assert.match(inside(b, "cat /proc/self/mountinfo"), / \/etc\/inner /);
  assert.match(mounts(b, "remove", [tmpfs("/mask")]).stderr, /\/mask: found a symbolic link on the way/);
  assert.match(mounts(b, "remove", [tmpfs("/out/inner")]).stderr, /found a symbolic link/);
  assert.match(mounts(b, "remove", [tmpfs("/made")]).stderr, /cannot unmount \/made: unmount: EINVAL/);
  assert.match(mounts(b, "remove", [tmpfs("/none")]).stderr, /cannot find \/none: target: ENOENT/);
  assert.equal(inside(b, `ls -d /none 2>/dev/null; ${masked}`), "0\n");
  change(b, "remove", [tmpfs("/etc/inner")]);
  // If links were followed, the mask would be removed.
  const lib = weakenedInit(
    t,
    "files.c",
    "RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (uint64_t)NUM(4)",
    "RESOLVE_IN_ROOT",
  );
  writeFileSync(join(b.folder, "mounts.json"), JSON.stringify([tmpfs("/mask")]));
  const args = ["--root", b.root, "mounts", "remove", b.id, "mounts.json"];
  const env = { ...process.env, BERTH_LIB: lib };
  assert.equal(spawnSync(BERTH_RUNC, args, { cwd: b.folder, env, timeout: 20_000 }).status, 0);
  assert.equal(inside(b, masked), "6\n");
});

test("a created container's mounts can be changed; errors are reported", (t) => {
  const b = makeBundle(t);
  b.configure((s) => {
    s.process!.args = ["sh", "-c", "cat /tmp/word >/tmp/seen"];
    s.root!.readonly = false;
  });
  writeFileSync(join(b.folder, "word"), "bound");
  assert.equal(b.detached("create", b.id), 0);
  const list = [
    { destination: "/tmp/word", type: "bind", source: join(b.folder, "word"), options: ["bind"] },
  ];
  change(b, "add", list);
  assert.match(
    mounts(b, "add", { destination: "/x" }).stderr,
    /mounts.json: mounts: found an object, expected a list/,
  );
  assert.match(mounts(b, "add", [{ type: "tmpfs" }]).stderr, /mounts\[0\].destination: found nothing/);
  const missing = [{ destination: "/x", type: "bind", source: "/nowhere/at-all" }];
  assert.match(mounts(b, "add", missing).stderr, /cannot take \/nowhere\/at-all: open_tree: ENOENT/);
  assert.match(mounts(b, "move", list).stderr, /unknown command move/);
  assert.equal(b.detached("start", b.id), 0);
  for (let turn = 0; turn < 100 && !b.runc("state", b.id).stdout.includes("stopped"); turn++);
  assert.equal(readFileSync(join(b.rootfs, "tmp/seen"), "utf8"), "bound");
  assert.match(mounts(b, "add", list).stderr, /cannot change mounts of a stopped container/);
});
