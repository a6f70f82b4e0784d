/** Settings of berthd that only a running daemon shows; its file may be containerd's. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { Content, WriteAction } from "@berth/api/content";
import { Introspection } from "@berth/api/introspection";
import { Snapshots } from "@berth/api/snapshots";
import { connect } from "@berth/client";
import { berthdArgs, cannotRun, type Daemon, Folder, run, startBerthd } from "../support/daemons.ts";
import { sha256 } from "../support/images.ts";

const skip = cannotRun();

async function withConfig(t: TestContext, toml: string): Promise<{ daemon: Daemon; folder: string }> {
  const folder = new Folder();
  t.after(() => folder.remove());
  const file = join(folder.path, "config.toml");
  writeFileSync(file, toml);
  const daemon = await startBerthd(folder.path, ["-c", file]);
  t.after(() => daemon.stop());
  return { daemon, folder: folder.path };
}

const LEFT_OUT = `version = 3
oom_score = 300
disabled_plugins = ["io.containerd.snapshotter.v1.native", "io.containerd.differ.v1.walking", "cri"]
[timeouts]
  "io.containerd.timeout.shim.load" = "5s"
[plugins.'io.containerd.snapshotter.v1.overlayfs']
  upperdir_label = true
  mount_options = ["volatile"]
  sync_remove = true
`;

test("a containerd's file leaves plugins out, with what needs them", { skip }, async (t) => {
  const { daemon, folder } = await withConfig(t, LEFT_OUT);
  assert.match(daemon.log(), /settings of containerd that mean nothing to berth are ignored.*keys=1/);
  assert.equal(readFileSync(`/proc/${daemon.pid}/oom_score_adj`, "utf8"), "300\n");
  const client = connect({ address: daemon.socket });
  t.after(() => client.close());
  const { plugins } = await client.connection.client(Introspection).plugins({ filters: [] });
  const problem = (type: string, id: string) => {
    const found = plugins.find((plugin) => plugin.type === `io.containerd.${type}` && plugin.id === id);
    return found === undefined ? "not there" : (found.initErr?.message ?? "");
  };
  assert.equal(problem("snapshotter.v1", "native"), "not there");
  assert.equal(problem("snapshotter.v1", "overlayfs"), "");
  const why = "requires io.containerd.differ.v1: walking is one of disabled_plugins";
  assert.equal(problem("transfer.v1", "local"), why);
  assert.match(problem("grpc.v1", "transfer"), /requires io.containerd.transfer.v1: local could not be/);
  assert.equal(problem("grpc.v1", "images"), "");
  const pulled = await daemon.ctr("snapshots", "--snapshotter", "native", "ls");
  assert.match(pulled.stderr, /snapshotter not loaded: native: invalid argument/);

  const snapshots = client.connection.client(Snapshots);
  const labels = { "containerd.io/gc.root": "now" };
  await snapshots.prepare({ snapshotter: "overlayfs", key: "base", labels });
  await snapshots.commit({ snapshotter: "overlayfs", key: "base", name: "committed", labels });
  const upper = { snapshotter: "overlayfs", key: "upper" };
  const { mounts } = await snapshots.prepare({ ...upper, parent: "committed", labels });
  assert.ok(mounts[0]!.options.includes("volatile"), String(mounts[0]!.options));
  const { info } = await snapshots.stat(upper);
  const path = info!.labels["containerd.io/snapshot/overlay.upperdir"]!;
  assert.ok(mounts[0]!.options.includes(`upperdir=${path}`), path);
  assert.ok(path.startsWith(join(folder, "root/snapshots/overlayfs/")));
  await snapshots.update({ info: { name: "upper", labels: { a: "b" } }, snapshotter: "overlayfs" });
  await snapshots.remove(upper);
  assert.throws(() => readFileSync(path), { code: "ENOENT" }, "its files are gone with the answer");
});

test("isolated contents: a digest alone gives no blob of another namespace", { skip }, async (t) => {
  const { daemon } = await withConfig(t, '[content]\nsharing = "isolated"\n');
  const data = Buffer.from("somebody's");
  const digest = sha256(data);
  const of = (namespace: string) => {
    const client = connect({ address: daemon.socket, namespace });
    t.after(() => client.close());
    return client;
  };
  const offset = async (namespace: string, send: boolean) => {
    const content = of(namespace).connection.client(Content);
    const labels = { "containerd.io/gc.root": "now" };
    const wanted = { ref: "r", expected: digest, total: BigInt(data.length), labels };
    async function* requests() {
      yield send ? { ...wanted, action: WriteAction.COMMIT, data } : { ...wanted, action: WriteAction.STAT };
    }
    for await (const answer of content.write(requests())) return Number(answer.offset);
    return assert.fail("no answer");
  };
  assert.equal(await offset("one", true), data.length);
  assert.equal(await offset("two", false), 0);
  const labels = { "containerd.io/namespace.shareable": "true" };
  await of("one").namespaces.raw.update({ namespace: { name: "one", labels } });
  assert.equal(await offset("three", false), data.length);
  assert.equal(await offset("two", true), data.length, "sent in full");
});

test("a daemon that lacks a required plugin does not start", { skip }, async (t) => {
  const folder = new Folder();
  t.after(() => folder.remove());
  const file = join(folder.path, "config.toml");
  writeFileSync(file, 'required_plugins = ["io.containerd.nri.v1.nri"]\n');
  const { code, stderr } = await run(process.execPath, berthdArgs(folder.path, "--config", file));
  assert.equal(code, 1);
  assert.match(
    stderr,
    /required_plugins: io.containerd.nri.v1.nri was not loaded: there is none of this name/,
  );
});
