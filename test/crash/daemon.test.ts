/** The daemon is killed and restarted: nothing is lost, nothing leaks. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { after } from "node:test";
import { BerthClient } from "@berth/client";
import { berthdArgs, cannotRun, type Daemon, Folder, run, startBerthd } from "../support/daemons.ts";
import { busyboxLayer, makeImage, ociArchive, sha256, tar } from "../support/images.ts";
import { until } from "../support/until.ts";

const skip = cannotRun("/usr/bin/ctr");
const NAME = "docker.io/library/bb:1";

test("kill -9 and restart", { skip: skip ?? false }, async (t) => {
  const folder = new Folder();
  let daemon = await startBerthd(folder.path);
  after(async () => {
    for (const id of ["c1", "c2", "gone"]) {
      await daemon.ctr("tasks", "kill", "-s", "KILL", id);
      await daemon.ctr("tasks", "rm", "-f", id);
    }
    await daemon.stop();
    await folder.remove();
  });
  const restart = async (): Promise<Daemon> => {
    await daemon.stop("SIGKILL");
    daemon = await startBerthd(folder.path);
    return daemon;
  };
  const archive = join(folder.path, "image.tar");
  writeFileSync(archive, ociArchive(makeImage([busyboxLayer()]), NAME));
  assert.equal((await daemon.ctr("images", "import", archive)).code, 0);

  await t.test("running containers continue; exits during the downtime are known", async () => {
    assert.equal((await daemon.ctr("run", "-d", NAME, "c1", "/bin/sleep", "300")).code, 0);
    assert.equal((await daemon.ctr("run", "-d", NAME, "c2", "/bin/sh", "-c", "sleep 1; exit 5")).code, 0);
    const before = await daemon.ctr("tasks", "ls");
    await daemon.stop("SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, 1300));
    daemon = await startBerthd(folder.path);
    const { stdout } = await daemon.ctr("tasks", "ls");
    const pid = /c1\s+(\d+)\s+RUNNING/.exec(before.stdout)?.[1];
    assert.match(stdout, new RegExp(`c1\\s+${pid}\\s+RUNNING`));
    assert.match(stdout, /c2\s+\d+\s+STOPPED/);
    const { stdout: info } = await daemon.ctr("containers", "info", "c2");
    assert.equal(JSON.parse(info).Labels["berth/exit-code"], "5");
    assert.equal(
      (await daemon.ctr("tasks", "exec", "--exec-id", "e", "c1", "/bin/echo", "alive")).stdout,
      "alive\n",
    );
  });

  await t.test(
    "an auto-remove container is removed, also if it exited while the daemon was down",
    async () => {
      const mark = (id: string) => daemon.ctr("containers", "label", id, "berth/auto-remove=true");
      const there = async (id: string) =>
        (await daemon.ctr("containers", "ls", "-q")).stdout.split("\n").includes(id);
      assert.equal((await daemon.ctr("run", "-d", NAME, "gone", "/bin/sleep", "0.5")).code, 0);
      assert.equal((await mark("gone")).code, 0);
      await until("it is gone", async () => !(await there("gone")));
      assert.equal((await daemon.ctr("run", "-d", NAME, "gone", "/bin/sleep", "0.7")).code, 0);
      await mark("gone");
      await daemon.stop("SIGKILL");
      await new Promise((resolve) => setTimeout(resolve, 1000));
      daemon = await startBerthd(folder.path);
      await until("it is gone", async () => !(await there("gone")));
      assert.ok(!(await daemon.ctr("snapshots", "ls")).stdout.includes("gone"));
      assert.ok(!(await daemon.ctr("tasks", "ls")).stdout.includes("gone"));
    },
  );

  await t.test("an interrupted ingest resumes, and unknown files are removed", async () => {
    const berth = new BerthClient({ address: daemon.socket });
    const content = berth.content.raw;
    const data = Buffer.alloc(3_000_000, "x");
    const half = async function* () {
      yield {
        action: 1,
        ref: "half",
        total: BigInt(data.length),
        offset: 0n,
        data: data.subarray(0, 1_000_000),
      } as const;
      await new Promise((resolve) => setTimeout(resolve, 10_000).unref());
    };
    const stream = content.write(half())[Symbol.asyncIterator]();
    assert.equal((await stream.next()).value?.offset, 1_000_000n);
    const lost = stream.next().catch(() => {});
    await daemon.stop("SIGKILL");
    await lost;
    berth.close();
    writeFileSync(join(folder.path, "root/content/ingest/999"), "left over");
    writeFileSync(join(folder.path, `root/content/blobs/sha256/${"0".repeat(64)}`), "left over");
    daemon = await startBerthd(folder.path);
    assert.ok(!existsSync(join(folder.path, "root/content/ingest/999")));
    assert.ok(!readdirSync(join(folder.path, "root/content/blobs/sha256")).includes("0".repeat(64)));
    const again = new BerthClient({ address: daemon.socket });
    const { status } = await again.content.raw.status({ ref: "half" });
    assert.equal(status?.offset, 1_000_000n);
    const rest = async function* () {
      yield {
        action: 2,
        ref: "half",
        total: BigInt(data.length),
        offset: 1_000_000n,
        data: data.subarray(1_000_000),
      } as const;
    };
    let digest = "";
    for await (const answer of again.content.raw.write(rest())) digest = answer.digest;
    assert.match(digest, /^sha256:/);
    again.close();
  });

  await t.test("an interrupted load leaves nothing", async () => {
    const berth = new BerthClient({ address: daemon.socket });
    const random = randomBytes(2_000_000);
    const image = makeImage([busyboxLayer(), tar({ name: "random", data: random })], "none");
    const bytes = ociArchive(image, "docker.io/library/cut:1");
    const slowly = async function* () {
      yield bytes.subarray(0, bytes.length - 4096);
      await new Promise((resolve) => setTimeout(resolve, 20_000).unref());
    };
    const loading = berth.images.load(slowly()).catch(() => {});
    await until("its lease is there", async () => (await daemon.ctr("leases", "ls", "-q")).stdout !== "");
    await new Promise((resolve) => setTimeout(resolve, 300));
    const before = (await daemon.ctr("snapshots", "ls")).stdout;
    await daemon.stop("SIGKILL");
    berth.close();
    await loading;
    daemon = await startBerthd(folder.path);
    assert.equal((await daemon.ctr("leases", "ls", "-q")).stdout, "");
    const diffId = sha256(tar({ name: "random", data: random }));
    await until(
      "what it brought is collected",
      async () => !(await daemon.ctr("content", "ls", "-q")).stdout.includes(diffId),
    );
    assert.equal((await daemon.ctr("snapshots", "ls")).stdout, before);
    assert.equal((await daemon.ctr("content", "active")).stdout.trim().split("\n").length, 1);
  });

  await t.test("two daemons on one directory, or one socket: the second is refused by name", async () => {
    const other = new Folder();
    const second = (root: string, ...more: string[]) => run(process.execPath, berthdArgs(root, ...more));
    const sameRoot = await second(folder.path);
    assert.equal(sameRoot.code, 1);
    assert.match(sameRoot.stderr, /another berthd \(pid \d+\) is using the root directory/);
    const sameSocket = await second(other.path, "--address", daemon.socket);
    assert.equal(sameSocket.code, 1);
    assert.match(sameSocket.stderr, /already listening/);
    await other.remove();
  });

  await restart();
});
