/** berth doctor: every kind of leak is planted, found, and removed; resources in use are left alone. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import type { Examination } from "@berth/client";
import { linux } from "@berth/sys";
import { startCli } from "../support/cli.ts";
import { cannotRun } from "../support/daemons.ts";

const TASKS = "state/io.containerd.runtime.v2.task";

test("berth doctor", { skip: cannotRun("/bin/busybox") ?? false }, async (t) => {
  const cli = await startCli();
  const mounted = join(cli.folder, TASKS, "default/gone/rootfs");
  t.after(() => linux.umount(mounted, linux.MNT_DETACH).catch(() => {}));
  t.after(async () => assert.deepEqual(await cli.close(), []));
  const { folder } = cli;
  const at = (path: string) => join(folder, path);
  const ok = async (...args: string[]) => {
    const { code, out, err } = await cli.berth(args);
    assert.equal(code, 0, `berth ${args.join(" ")}: ${err}${out}`);
    return out.trim();
  };
  const doctor = async (...args: string[]) => {
    const { code, out, err } = await cli.berth(["doctor", "--json", "--root", at("root"), ...args], {
      timeout: 60_000,
    });
    assert.ok(out.startsWith("{"), err);
    const found: Examination = JSON.parse(out);
    // A snapshot that was being removed when the daemon was killed is a real leak.
    const removed = (where: string) => /\/overlayfs\/rm-\d+$/.test(where);
    // Other clients on the test machine may have folders in /tmp.
    const own = found.findings.filter(
      ({ where, kind }) =>
        (where.includes(folder) && !removed(where)) || kind === "cgroup" || kind === "keeper",
    );
    return { code, found, own };
  };
  const names = (found: { kind: string; where: string }[]) =>
    found.map(({ kind, where }) => `${kind} ${where.replace(`${folder}/`, "")}`).sort();
  const id = (await ok("run", "-d", "--name", "lives", "busybox", "sleep", "300")).slice(0, 64);
  const exited = await ok("run", "-d", "--name", "ended", "busybox", "true");
  await ok("wait", "ended");
  const stillLives = async () => assert.equal(await ok("exec", "lives", "echo", "yes"), "yes");

  await t.test("reports no problem", async () => {
    const { found, own } = await doctor();
    assert.deepEqual(names(own), []);
    assert.deepEqual(
      found.host.filter(({ level }) => level === "problem"),
      [],
    );
    const text = await cli.berth(["doctor"]);
    assert.match(text.out, /^ok +kernel/m);
    assert.match(text.out, /^ok +cgroups/m);
  });

  /** Leaked files; returns the names by which the doctor reports them. */
  const plant = async (): Promise<string[]> => {
    const files = {
      "snapshot root/snapshots/overlayfs/987654": "root/snapshots/overlayfs/987654/fs/file",
      "ingest root/content/ingest/987654": "root/content/ingest/987654",
      [`blob root/content/blobs/sha256/${"0".repeat(64)}`]: `root/content/blobs/sha256/${"0".repeat(64)}`,
      "log root/logs/default/gone": "root/logs/default/gone/container.log",
      "exit record state/keepers/zz-1.exit": "state/keepers/zz-1.exit",
      "runtime record state/runc/default/gone": "state/runc/default/gone/spec.json",
      [`bundle ${TASKS}/default/gone`]: `${TASKS}/default/gone/task.json`,
    };
    for (const path of Object.values(files)) {
      mkdirSync(join(at(path), ".."), { recursive: true });
      writeFileSync(at(path), "{}");
    }
    utimesSync(at("root/logs/default/gone"), 1, 1);
    // The bundle's runtime record, found through the bundle.
    rmSync(at("state/runc/default/gone"), { recursive: true });
    mkdirSync(at("state/runc/default/lost"));
    mkdirSync(at("berth-io-abc123"));
    execFileSync("mkfifo", [at("berth-io-abc123/stdout")]);
    const sock = createServer().listen(at("state/keepers/zz-2.sock"));
    await new Promise((resolve) => sock.once("listening", resolve));
    // A killed listener leaves its socket; a closed one would remove it.
    execFileSync("mv", [at("state/keepers/zz-2.sock"), at("state/keepers/zz-3.sock")]);
    sock.close();
    mkdirSync(at(`${TASKS}/default/gone/rootfs`));
    // A bind mount of files that must survive.
    mkdirSync(at("precious"), { recursive: true });
    writeFileSync(at("precious/file"), "");
    execFileSync("mount", ["--bind", at("precious"), mounted]);
    return [
      ...Object.keys(files).filter((name) => !name.startsWith("runtime record")),
      "runtime record state/runc/default/lost",
      "client's streams berth-io-abc123",
      "socket state/keepers/zz-3.sock",
      `mount ${TASKS}/default/gone/rootfs`,
    ].sort();
  };
  await t.test("leaks are found and named, and left alone without --fix", async () => {
    const planted = await plant();
    const { code, own } = await doctor();
    assert.equal(code, 1);
    assert.deepEqual(names(own), planted);
    assert.ok(own.every(({ why, fix, fixed }) => why !== "" && fix !== "" && !fixed));
    assert.deepEqual(names((await doctor()).own), planted);
    await stillLives();
  });

  await t.test("--fix removes leaks and nothing else", async () => {
    const before = readdirSync(at("root/snapshots/overlayfs")).length;
    const { own } = await doctor("--fix");
    assert.ok(own.length > 0 && own.every(({ fixed }) => fixed), JSON.stringify(own, undefined, 1));
    assert.deepEqual(names((await doctor()).own), []);
    assert.ok(!existsSync(at("berth-io-abc123")));
    assert.ok(existsSync(at("precious/file")));
    assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(at(TASKS)));
    assert.equal(readdirSync(at("root/snapshots/overlayfs")).length, before - 1);
    await stillLives();
    assert.match(await ok("ps", "-a", "--format", "{{.Names}}"), /lives\nended|ended\nlives/);
  });

  await t.test("a cgroup without a task", async () => {
    const cgroup = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].find((path) =>
      existsSync(`${path}/default/${id}`),
    )!;
    const left = `${cgroup}/default/${exited}`;
    // Its task still exists, so the cgroup is not a leak.
    await cli.berth(["exec", "ended", "true"]);
    const { Operations: _, connect } = await import("@berth/client");
    const client = connect({ address: cli.address });
    await client.tasks.raw.delete({ containerId: exited });
    client.close();
    mkdirSync(left, { recursive: true });
    // Not created here: another engine's, whatever it looks like.
    const foreign = `${cgroup}/default/${"f".repeat(64)}`;
    mkdirSync(foreign);
    try {
      const { own } = await doctor();
      assert.deepEqual(
        own.map(({ kind, where }) => [kind, where.endsWith(`/default/${exited}`)]),
        [["cgroup", true]],
      );
      assert.ok((await doctor("--fix")).own.every(({ fixed }) => fixed));
      assert.ok(!existsSync(left));
      assert.ok(existsSync(foreign));
    } finally {
      execFileSync("rmdir", [foreign]);
    }
    await stillLives();
  });

  await t.test("a keeper and a container without a task", async () => {
    const lost = await ok("run", "-d", "--name", "lost", "busybox", "sleep", "300");
    const { Pid } = JSON.parse(await ok("inspect", "lost"))[0].State;
    await cli.down();
    rmSync(at(`${TASKS}/default/${lost}`), { recursive: true });
    await cli.up();
    const first = await doctor();
    assert.equal(first.code, 1);
    assert.deepEqual([...new Set(first.own.map(({ kind }) => kind))].sort(), [
      "cgroup",
      "keeper",
      "runtime record",
    ]);
    assert.ok(existsSync(`/proc/${Pid}/exe`));
    const { own } = await doctor("--fix");
    assert.ok(
      own.every(({ fixed }) => fixed),
      JSON.stringify(own),
    );
    assert.deepEqual(names((await doctor()).own), []);
    assert.throws(() => statSync(`/proc/${Pid}/root/.`));
    await stillLives();
    await ok("rm", "lost");
  });

  await t.test("the same without a daemon, and its stale socket", async () => {
    await cli.down();
    try {
      const planted = await plant();
      const { code, own } = await doctor();
      assert.equal(code, 1);
      assert.deepEqual(
        names(own),
        [...planted, "socket state/berth.sock", "socket state/berth.sock.ttrpc"].sort(),
      );
      assert.ok((await doctor("--fix")).own.every(({ fixed }) => fixed));
      assert.deepEqual(names((await doctor()).own), []);
      assert.ok(existsSync(at("precious/file")));
    } finally {
      await cli.up();
    }
    await stillLives();
    await ok("rm", "ended");
  });
});
