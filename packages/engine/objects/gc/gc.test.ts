import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { containers, LABEL, types } from "@berth/api";
import { create } from "@bufbuild/protobuf";
import type { Labels } from "../../base/core/names.ts";
import { EventBus } from "../../base/events/event-bus.ts";
import { Database } from "../../base/store/database.ts";
import { ContainerStore } from "../containers/container-store.ts";
import { ContentStore } from "../content/content-store.ts";
import { ImageStore } from "../images/image-store.ts";
import { createLease } from "../leases/rows.ts";
import { deleteActivation } from "../mounts/rows.ts";
import { SandboxStore } from "../sandboxes/sandbox-store.ts";
import { NativeDriver } from "../snapshots/native.ts";
import { ACTIVE } from "../snapshots/rows.ts";
import { SnapshotStore } from "../snapshots/snapshot-store.ts";
import { removeUnclaimed } from "../snapshots/unclaimed.ts";
import { Collector, type Sweeper } from "./collector.ts";
import { references } from "./labels.ts";

const scope = { namespace: "n", lease: undefined };
const where = { ns: "n", snapshotter: "native" };

async function world(work: (w: Awaited<ReturnType<typeof make>>) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "berth-gc-"));
  const made = await make(folder);
  try {
    await work(made);
  } finally {
    made.collector.close();
    made.db.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function make(folder: string) {
  const db = new Database(":memory:");
  const events = new EventBus();
  const content = new ContentStore(db, events, folder);
  const snapshots = new SnapshotStore(db, events, [new NativeDriver(join(folder, "native"))]);
  const images = new ImageStore(db, events);
  const sweeper: Sweeper = {
    removeContent: (ns, digest) => content.removeRow(ns, digest),
    removeIngest: (ns, ref) => content.removeIngestRow(ns, ref),
    removeImage: (ns, name) => images.delete(ns, name),
    removeActivation: (number) => deleteActivation(db, number),
    removeSnapshot: (ns, snapshotter, name) => snapshots.removeRow({ ns, snapshotter }, name),
    ingestInUse: (ns, ref, started) => content.ingestInUse(ns, ref, started),
    settled: () => snapshots.settled(),
  };
  const collector = new Collector(db, sweeper);
  const put = async (text: string, labels: Labels = {}, lease?: string) => {
    const digest = `sha256:${createHash("sha256").update(text).digest("hex")}`;
    await content.put({ ...scope, lease }, digest, Buffer.from(text), labels);
    return digest;
  };
  const commit = async (name: string, parent: string, labels: Labels = {}) => {
    await snapshots.prepare(scope, "native", { key: `${name}-work`, parent, labels: {}, kind: ACTIVE });
    await snapshots.commit(scope, "native", { name, key: `${name}-work`, labels });
  };
  const names = () =>
    snapshots
      .list(where)
      .map((s) => s.name)
      .sort();
  return {
    folder,
    db,
    content,
    snapshots,
    images,
    sweeper,
    collector,
    containers: new ContainerStore(db, events),
    put,
    commit,
    names,
  };
}

test("references are found in labels", () => {
  assert.deepEqual(
    references({
      "containerd.io/gc.ref.content.config": "sha256:1",
      "containerd.io/gc.ref.content.l.0": "sha256:2",
      "containerd.io/gc.ref.content": "sha256:3",
      "containerd.io/gc.ref.snapshot.overlayfs": "c1",
      "containerd.io/gc.ref.snapshot.overlayfs/x": "c2",
      "containerd.io/gc.ref.mount.x": "m",
      "containerd.io/gc.ref.image": "i",
      "containerd.io/gc.ref.contents": "no",
      other: "no",
    }),
    [
      "content/sha256:1",
      "content/sha256:2",
      "content/sha256:3",
      "snapshots/overlayfs/c1",
      "snapshots/overlayfs/c2",
      "mounts/m",
      "images/i",
    ],
  );
});

test("an image keeps its manifest, config, layers and snapshots; without it they are collected", async () => {
  await world(async ({ folder, content, images, collector, put, commit, names }) => {
    await commit("bottom", "");
    await commit("top", "bottom");
    await commit("unused", "bottom");
    const layer = await put("layer");
    const config = await put("config", { "containerd.io/gc.ref.snapshot.native": "top" });
    const labels = {
      "containerd.io/gc.ref.content.config": config,
      "containerd.io/gc.ref.content.l.0": layer,
    };
    const manifest = await put("manifest", labels);
    await put("stray");
    const root = await put("root", { "containerd.io/gc.root": "now" });
    images.create("n", { name: "i", labels: {}, target: { mediaType: "m", digest: manifest, size: 8 } });
    assert.equal(await collector.run(), 2);
    assert.deepEqual(
      content.list("n").map((c) => c.digest),
      [config, layer, manifest, root].sort(),
    );
    assert.deepEqual(names(), ["bottom", "top"]);
    images.delete("n", "i");
    await collector.run();
    assert.deepEqual(
      content.list("n").map((c) => c.digest),
      [root],
    );
    assert.deepEqual(names(), []);
    assert.deepEqual(readdirSync(join(folder, "blobs/sha256")), [root.slice(7)]);
    assert.deepEqual(readdirSync(join(folder, "native")), []);
  });
});

test("leases keep their resources and references, flat ones only the resources, expired ones nothing", async () => {
  await world(async ({ db, content, collector, put }) => {
    const lease = (id: string, labels: Labels) => createLease(db, "n", { id, labels, created: "0" });
    lease("plain", {});
    lease("flat", { "containerd.io/gc.flat": "1" });
    lease("old", { "containerd.io/gc.expire": "2020-01-01T00:00:00Z" });
    const child = await put("child");
    const kept = await put("kept", { "containerd.io/gc.ref.content.0": child }, "plain");
    const flatChild = await put("flat child");
    const flat = await put("flat", { "containerd.io/gc.ref.content.0": flatChild }, "flat");
    await put("expired", {}, "old");
    await collector.run();
    assert.deepEqual(
      content.list("n").map((c) => c.digest),
      [child, kept, flat].sort(),
    );
    assert.equal(db.get("SELECT 1 FROM leases WHERE id = 'old'"), undefined);
    await assert.rejects(put("x", {}, "none"), /lease "none": not found/);
  });
});

test("a container keeps its snapshot", async () => {
  await world(async ({ snapshots, containers: store, collector, commit, names }) => {
    await commit("base", "");
    await snapshots.prepare(scope, "native", { key: "c1", parent: "base", labels: {}, kind: ACTIVE });
    const record = create(containers.ContainerSchema, {
      id: "c1",
      runtime: { name: "r" },
      spec: { typeUrl: "t" },
      snapshotter: "native",
      snapshotKey: "c1",
    });
    store.create("n", record);
    await collector.run();
    assert.deepEqual(names(), ["base", "c1"]);
    store.delete("n", "c1");
    await collector.run();
    assert.deepEqual(names(), []);
  });
});

test("a sandbox keeps what its labels name", async () => {
  await world(async ({ db, collector, put }) => {
    const digest = await put("kept");
    const store = new SandboxStore(db);
    const labels = { "containerd.io/gc.ref.content": digest };
    store.create("n", create(types.SandboxSchema, { sandboxId: "s", runtime: { name: "r" }, labels }));
    await collector.run();
    assert.ok(db.get("SELECT 1 FROM content WHERE digest = ?", digest));
    store.delete("n", "s");
    await collector.run();
    assert.equal(db.get("SELECT 1 FROM content WHERE digest = ?", digest), undefined);
  });
});

test("collections wait for enough deletions, and rest as long as the settings say", async (t) => {
  await world(async ({ db, sweeper }) => {
    t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: Date.now() });
    const plan = { pauseThreshold: 0.5, deletionThreshold: 2, scheduleDelay: 1000 };
    const collector = new Collector(db, sweeper, plan);
    let runs = 0;
    const { transaction } = db;
    db.transaction = (work) => {
      runs++;
      return transaction.call(db, work) as never;
    };
    collector.start(500);
    t.mock.timers.tick(499);
    assert.equal(runs, 0);
    t.mock.timers.tick(1);
    assert.equal(runs, 1, "the first one");
    await collector.request(false);
    t.mock.timers.tick(5000);
    assert.equal(runs, 1, "one deletion is not enough");
    await collector.request(false);
    t.mock.timers.tick(999);
    assert.equal(runs, 1);
    t.mock.timers.tick(1);
    assert.equal(runs, 2);
    await collector.request(true);
    assert.equal(runs, 3, "a synchronous one does not wait");
    collector.close();
  });
});

test("open and recent ingests stay; a namespace does not see blobs that it has not fetched", async () => {
  await world(async ({ content, collector, put }) => {
    const writer = await content.openWriter(scope, { ref: "w" });
    writer.write(Buffer.from("half"));
    await collector.run();
    assert.equal(content.status("n", "w").offset, 4);
    writer.close();
    const digest = await put("shared", { "containerd.io/gc.root": "1" });
    const other = await content.openWriter(
      { namespace: "other", lease: undefined },
      { ref: "x", expected: digest, total: 6 },
    );
    assert.equal(other.offset, 6);
    await other.commit(6, digest, { "containerd.io/gc.root": "1" });
    content.delete("n", digest);
    assert.equal(content.readAll("other", digest).toString(), "shared");
  });
});

test("a snapshot is held for its container until its label's time; a new daemon holds none", async () => {
  await world(async ({ snapshots, collector, db, containers: store, names }) => {
    const until = (ms: number) => ({ [LABEL.heldUntil]: new Date(Date.now() + ms).toISOString() });
    const prepare = (key: string, labels: Labels) =>
      snapshots.prepare(scope, "native", { key, parent: "", labels, kind: ACTIVE });
    await prepare("awaited", until(60_000));
    await prepare("claimed", until(60_000));
    await prepare("late", until(-1));
    await prepare("nobody's", {});
    const spec = { typeUrl: "t", value: Buffer.from("{}") };
    const runtime = { name: "io.containerd.runc.v2" };
    const record = { id: "c", runtime, spec, snapshotter: "native", snapshotKey: "claimed" };
    store.create("n", create(containers.ContainerSchema, record));
    await collector.run();
    assert.deepEqual(names(), ["awaited", "claimed"]);
    removeUnclaimed(db, snapshots, store);
    assert.deepEqual(names(), ["claimed"]);
  });
});

test("what was held is collected when that expires, though nobody asks", async (t) => {
  await world(async ({ snapshots, collector, db, names }) => {
    t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: Date.now() });
    const until = (ms: number) => new Date(Date.now() + ms).toISOString();
    const prepare = async (key: string, ms: number) => {
      const labels = { [LABEL.heldUntil]: until(ms) };
      await snapshots.prepare(scope, "native", { key, parent: "", labels, kind: ACTIVE });
      return labels;
    };
    const leases = () => db.all("SELECT id FROM leases WHERE ns = 'n'").map(({ id }) => id);
    const pass = async (ms: number) => {
      t.mock.timers.tick(ms);
      // A collection resolves after its files are gone.
      await snapshots.settled();
    };

    collector.expect(await prepare("first", 60_000));
    const lease = { id: "l", labels: { "containerd.io/gc.expire": until(120_000) }, created: "1" };
    createLease(db, "n", lease);
    // Found by the collection that "first" brings about.
    await prepare("second", 90_000);
    await pass(59_000);
    assert.deepEqual(names(), ["first", "second"]);
    await pass(7_000);
    assert.deepEqual(names(), ["second"]);
    await pass(29_000);
    assert.deepEqual([names(), leases()], [[], ["l"]]);
    await pass(30_000);
    assert.deepEqual(leases(), []);
  });
});

test("an image expires, unless something else keeps it; a blob is kept until its time", async () => {
  await world(async ({ content, images, collector, put }) => {
    const at = (ms: number) => ({ "containerd.io/gc.expire": new Date(Date.now() + ms).toISOString() });
    const manifest = await put("manifest");
    const target = { mediaType: "m", digest: manifest, size: 8 };
    images.create("n", { name: "gone", labels: at(-1), target });
    images.create("n", { name: "later", labels: at(60_000), target });
    images.create("n", { name: "kept", labels: at(-1), target });
    images.create("n", { name: "keeper", labels: { "containerd.io/gc.ref.image.x": "kept" }, target });
    await put("old", at(-1));
    const recent = await put("recent", at(60_000));
    assert.equal(await collector.run(), 2);
    assert.deepEqual(
      images.list("n").map(({ name }) => name),
      ["keeper", "kept", "later"],
    );
    assert.deepEqual(
      content
        .list("n")
        .map(({ digest }) => digest)
        .sort(),
      [manifest, recent].sort(),
    );
  });
});
