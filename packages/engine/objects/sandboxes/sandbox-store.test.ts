import assert from "node:assert/strict";
import test from "node:test";
import { anyOf, types } from "@berth/api";
import { create } from "@bufbuild/protobuf";
import { Database } from "../../base/store/database.ts";
import { SandboxStore } from "./sandbox-store.ts";

const sandbox = (more: object = {}) =>
  create(types.SandboxSchema, { sandboxId: "s", runtime: { name: "r" }, ...more });
const any = (text: string) => anyOf("t", new TextEncoder().encode(text));

test("a sandbox is kept whole, for its namespace", () => {
  const store = new SandboxStore(new Database(":memory:"));
  const wanted = { spec: any("spec"), labels: { a: "1" }, extensions: { e: any("x") }, sandboxer: "shim" };
  const made = store.create("n", sandbox(wanted));
  assert.ok(made.createdAt!.seconds > 0n);
  assert.deepEqual(store.get("n", "s"), made);
  assert.deepEqual(store.list("n"), [made]);
  assert.deepEqual(store.list("other"), []);
  assert.throws(() => store.create("n", sandbox()), { code: "already_exists" });
  assert.throws(() => store.create("n", sandbox({ sandboxId: "../x" })), { code: "invalid_argument" });
  assert.throws(
    () => store.create("n", sandbox({ sandboxId: "t", extensions: { e: {} } })),
    /must have a name and a type/,
  );
  store.delete("n", "s");
  for (const gone of [
    () => store.get("n", "s"),
    () => store.delete("n", "s"),
    () => store.update("n", sandbox(), []),
  ])
    assert.throws(gone, { code: "not_found" });
});

test("fields are changed one by one, or all that can be", () => {
  const store = new SandboxStore(new Database(":memory:"));
  store.create(
    "n",
    sandbox({ spec: any("old"), labels: { a: "1", b: "2" }, extensions: { e: any("x"), f: any("y") } }),
  );
  const one = store.update("n", sandbox({ labels: { a: "3" }, extensions: { e: any("z") } }), [
    "labels.a",
    "labels.b",
    "extensions.e",
    "extensions.f",
  ]);
  assert.deepEqual(
    [one.labels, Object.keys(one.extensions), one.extensions.e],
    [{ a: "3" }, ["e"], any("z")],
  );
  const all = store.update("n", sandbox({ labels: { c: "4" } }), []);
  assert.deepEqual(
    [all.labels, all.extensions, all.spec, all.runtime?.name],
    [{ c: "4" }, {}, undefined, "r"],
  );
  assert.deepEqual(store.get("n", "s"), all);
  assert.throws(
    () => store.update("n", sandbox({ runtime: { name: "other" } }), []),
    /Runtime.Name field is immutable/,
  );
  assert.equal(
    store.update("n", sandbox({ runtime: { name: "other" } }), ["runtime"]).runtime?.name,
    "other",
  );
  assert.throws(() => store.update("n", sandbox(), ["sandboxer"]), /cannot update "sandboxer" of a sandbox/);
});
