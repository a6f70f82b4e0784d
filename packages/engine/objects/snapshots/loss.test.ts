import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { isCode } from "@berth/base";
import { EventBus } from "../../base/events/event-bus.ts";
import { Database } from "../../base/store/database.ts";
import { NativeDriver } from "./native.ts";
import { ACTIVE } from "./rows.ts";
import { SnapshotStore } from "./snapshot-store.ts";

test("missing files are reported as their snapshot's loss; an unknown snapshot has none", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "berth-loss-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const store = new SnapshotStore(new Database(":memory:"), new EventBus(), [new NativeDriver(folder)]);
  const scope = { namespace: "n", lease: undefined };
  const where = { ns: "n", snapshotter: "native" };
  await store.prepare(scope, "native", { key: "a", parent: "", labels: {}, kind: ACTIVE });
  assert.equal(store.lossOf(where, "a"), undefined);
  // The caller has its own error, which this must not replace.
  assert.equal(store.lossOf(where, "nothing"), undefined);
  assert.equal(store.lossOf({ ns: "n", snapshotter: "elsewhere" }, "a"), undefined);
  rmSync(store.folder(where, "a"), { recursive: true });
  const loss = store.lossOf(where, "a");
  assert.ok(isCode(loss, "data_loss"));
  assert.match(loss!.message, /snapshot a has lost its files: \S+ is gone/);
});
