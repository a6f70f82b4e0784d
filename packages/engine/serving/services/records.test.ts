/** Namespaces, leases and snapshots on the wire: what clients of containerd rely on. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { EventBus } from "../../base/events/event-bus.ts";
import { Database } from "../../base/store/database.ts";
import { ContentStore } from "../../objects/content/content-store.ts";
import { Collector } from "../../objects/gc/collector.ts";
import { listResources } from "../../objects/leases/rows.ts";
import { NativeDriver } from "../../objects/snapshots/native.ts";
import { SnapshotStore } from "../../objects/snapshots/snapshot-store.ts";
import { callerOf } from "./fake-call.ts";
import { leasesService } from "./leases.ts";
import { namespacesService } from "./namespaces.ts";
import { snapshotsService } from "./snapshots.ts";

function setup(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "berth-records-"));
  const db = new Database(":memory:");
  const events = new EventBus();
  const snapshots = new SnapshotStore(db, events, [new NativeDriver(join(folder, "native"))]);
  const content = new ContentStore(db, events, folder);
  const collector = new Collector(db, {
    removeContent: (ns, digest) => content.removeRow(ns, digest),
    removeIngest: (ns, ref) => content.removeIngestRow(ns, ref),
    removeSnapshot: (ns, snapshotter, name) => snapshots.removeRow({ ns, snapshotter }, name),
    removeActivation: () => {},
    removeImage: () => {},
    ingestInUse: () => false,
    settled: () => snapshots.settled(),
  });
  t.after(async () => {
    collector.close();
    await snapshots.settled();
    db.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    db,
    namespaces: callerOf(namespacesService(db, events)),
    leases: callerOf(leasesService(db, collector)),
    snapshots: (lease?: string) =>
      callerOf(
        snapshotsService(snapshots, collector),
        lease === undefined ? {} : { "containerd-lease": lease },
      ),
  };
}

test("a namespace that does not exist has no labels; updating it makes it", async (t) => {
  const { namespaces, db } = setup(t);
  const labelsOf = async (name: string) =>
    ((await namespaces("get", { name })).namespace as { labels: object }).labels;
  assert.deepEqual(await labelsOf("moby"), {});
  assert.deepEqual((await namespaces("list")).namespaces, []);
  const update = (labels: object, ...paths: string[]) =>
    namespaces("update", {
      namespace: { name: "moby", labels },
      ...(paths.length > 0 ? { updateMask: { paths } } : {}),
    });
  await update({ a: "1", b: "2" });
  assert.deepEqual(await labelsOf("moby"), { a: "1", b: "2" });
  await update({ a: "3", c: "4" }, "labels.a");
  assert.deepEqual(await labelsOf("moby"), { a: "3", b: "2" });
  await update({ c: "4" });
  assert.deepEqual(await labelsOf("moby"), { c: "4" }, "without a mask the labels are replaced");
  await assert.rejects(update({}, "name"), { code: "invalid_argument" });
  await assert.rejects(namespaces("update", { namespace: { name: "a/b" } }), { code: "invalid_argument" });
  await assert.rejects(namespaces("delete", { name: "none" }), { code: "not_found" });
  assert.equal(db.all("SELECT name FROM namespaces").length, 1, "a refused update makes none");
});

test("a lease without an id gets one", async (t) => {
  const { leases } = setup(t);
  const made = await Promise.all([leases("create"), leases("create", { labels: { a: "b" } })]);
  const ids = made.map(({ lease }) => (lease as { id: string }).id);
  assert.ok(ids[0] !== "" && ids[0] !== ids[1]);
  const listed = (await leases("list")).leases as { id: string }[];
  assert.deepEqual(listed.map(({ id }) => id).sort(), ids.sort());
});

test("a committed snapshot is as old as its commit; one that exists already is held by the lease", async (t) => {
  const { snapshots, leases, db } = setup(t);
  const call = snapshots();
  const of = { snapshotter: "native" };
  const stat = async (key: string) =>
    (await call("stat", { ...of, key })).info as { createdAt: object; updatedAt: object };
  await call("prepare", { ...of, key: "work" });
  const before = await stat("work");
  await call("commit", { ...of, key: "work", name: "layer" });
  const after = await stat("layer");
  assert.deepEqual(after.createdAt, after.updatedAt);
  assert.notDeepEqual(after.createdAt, before.createdAt);

  await leases("create", { id: "l" });
  const leased = snapshots("l");
  const held = () => listResources(db, "n", "l").map(({ id }) => id);
  const taken = { code: "already_exists" };
  await assert.rejects(leased("commit", { ...of, key: "gone", name: "layer" }), taken);
  assert.deepEqual(held(), ["layer"]);
  await call("prepare", { ...of, key: "mine", parent: "layer" });
  await assert.rejects(leased("prepare", { ...of, key: "mine", parent: "layer" }), taken);
  assert.deepEqual(held(), ["layer", "mine"]);
});
