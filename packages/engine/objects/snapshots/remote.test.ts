import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { snapshots } from "@berth/api";
import { BerthError } from "@berth/base";
import { serve } from "@berth/grpc";
import { type CallContext, service } from "@berth/rpc";
import { EventBus } from "../../base/events/event-bus.ts";
import { Database } from "../../base/store/database.ts";
import { RemoteSnapshots } from "./remote.ts";
import { ACTIVE } from "./rows.ts";
import { SnapshotStore } from "./snapshot-store.ts";

const scope = { namespace: "n", lease: undefined };
const where = { ns: "n", snapshotter: "remote" };
const REF = "containerd.io/snapshot.ref";

/** A snapshotter that has fetched the layer "fetched" by itself, and our store on it. */
async function setup(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "berth-remote-"));
  const there = new Map<string, { parent: string; labels: Record<string, string> }>();
  const calls: string[] = [];
  const note = (call: CallContext, text: string) =>
    calls.push(`${call.headers["containerd-namespace"]} ${text}`);
  const mounts = [{ type: "fuse.x", source: "s", target: "", options: ["ro"] }];
  const fake = service(snapshots.Snapshots, {
    prepare: ({ key, parent, labels }, call) => {
      note(call, `prepare ${key} on ${parent || "nothing"}`);
      if (labels[REF] === "fetched") {
        there.set("its own name", { parent, labels });
        throw new BerthError("already_exists", "fetched: already exists");
      }
      there.set(key, { parent, labels });
      return { mounts };
    },
    view: () => ({ mounts }),
    mounts: ({ key }, call) => {
      note(call, `mounts ${key}`);
      return { mounts };
    },
    commit: ({ name, key, labels }, call) => {
      note(call, `commit ${key} as ${name}`);
      const found = there.get(key);
      if (found === undefined) throw new BerthError("not_found", `${key}: not found`);
      there.delete(key);
      there.set(name, { parent: found.parent, labels });
      return {};
    },
    stat: ({ key }) => {
      if (!there.has(key)) throw new BerthError("not_found", `${key}: not found`);
      return { info: { name: key } };
    },
    usage: () => ({ size: 5n, inodes: 2n }),
    remove: ({ key }, call) => {
      note(call, `remove ${key}`);
      if (!there.delete(key)) throw new BerthError("not_found", `${key}: not found`);
      return {};
    },
    async *list({ filters: [filter] }) {
      const all = [...there].map(([name, { parent, labels }]) => ({ name, parent, labels }));
      yield { info: filter === undefined ? all : all.filter(({ labels }) => labels[REF] === "fetched") };
    },
    cleanup: () => ({}),
  });
  const path = join(folder, "remote.sock");
  const server = await serve({ path, services: [fake] });
  const db = new Database(":memory:");
  const remote = new RemoteSnapshots(db, "remote", path);
  t.after(async () => {
    remote.close();
    await server.close(0);
    db.close();
    rmSync(folder, { recursive: true });
  });
  const store = new SnapshotStore(db, new EventBus(), [], [remote]);
  const prepare = (key: string, parent = "", labels = {}) =>
    store.prepare(scope, "remote", { key, parent, labels, kind: ACTIVE });
  return { store, remote, db, there, calls, prepare };
}

test("a proxy snapshotter gets every request, under names that are its own", async (t) => {
  const { store, there, calls, prepare } = await setup(t);
  const labels = { "containerd.io/snapshot/x": "y", mine: "z" };
  assert.equal((await prepare("a", "", labels))[0]!.type, "fuse.x");
  assert.deepEqual(there.get("berth/n/1/a")!.labels, { "containerd.io/snapshot/x": "y" });
  await store.commit(scope, "remote", { name: "layer", key: "a", labels: {} });
  await prepare("b", "layer");
  await store.mounts(where, "b");
  assert.deepEqual(await store.usage(where, "b"), { size: 5, inodes: 2 });
  assert.throws(() => store.remove(where, "layer"), /cannot remove snapshot with child/);
  store.remove(where, "b");
  store.remove(where, "layer");
  await store.settled();
  assert.deepEqual(calls, [
    "n prepare berth/n/1/a on nothing",
    "n commit berth/n/1/a as berth/n/1/layer",
    "n prepare berth/n/2/b on berth/n/1/layer",
    "n mounts berth/n/2/b",
    "n remove berth/n/2/b",
    "n remove berth/n/1/layer",
  ]);
  assert.equal(there.size, 0);
});

test("a layer that the snapshotter fetches by itself is there under the name that the client asks for", async (t) => {
  const { store, there, calls, prepare } = await setup(t);
  await assert.rejects(prepare("extract", "", { [REF]: "fetched" }), { code: "already_exists" });
  assert.deepEqual(
    store.list(where).map(({ name, kind }) => [name, kind]),
    [["fetched", 3]],
  );
  await prepare("container", "fetched");
  assert.equal(calls.at(-1), "n prepare berth/n/3/container on its own name");
  store.remove(where, "container");
  store.remove(where, "fetched");
  await store.settled();
  assert.equal(there.size, 0);
});

test("what a killed daemon left is made up for", async (t) => {
  const { store, there, db, prepare } = await setup(t);
  await prepare("a");
  // Committed there, killed before it was committed here.
  there.set("berth/n/1/layer", there.get("berth/n/1/a")!);
  there.delete("berth/n/1/a");
  await store.commit(scope, "remote", { name: "layer", key: "a", labels: {} });
  assert.equal(store.find(where, "layer")!.kind, 3);
  // Removed here, killed before it was removed there; and what is not ours.
  there.set("berth/n/7/gone", { parent: "", labels: {} });
  there.set("n/8/containerds", { parent: "", labels: {} });
  store.cleanup();
  await new Promise((resolve) => setTimeout(resolve, 50));
  await store.settled();
  assert.deepEqual([...there.keys()].sort(), ["berth/n/1/layer", "n/8/containerds"]);
  assert.equal(db.all("SELECT * FROM snapshots").length, 1);
});

test("a snapshotter that fails leaves no row", async (t) => {
  const { store, remote, prepare } = await setup(t);
  remote.close();
  await assert.rejects(prepare("a"));
  assert.deepEqual(store.list(where), []);
});
