import assert from "node:assert/strict";
import test from "node:test";
import { type Plugin, PluginRegistry } from "./registry.ts";

const STORE: Plugin = { type: "store", id: "s" };
const USER: Plugin = { type: "user", id: "u", requires: ["store"] };

test("a plugin that fails takes with it what requires it, and each says why", () => {
  const registry = new PluginRegistry();
  const made = registry.load(STORE, () => {
    throw new Error("no disk");
  });
  assert.equal(made, undefined);
  assert.equal(registry.add(USER), false);
  assert.equal(registry.add({ type: "other", id: "o", requires: ["user"] }), false);
  assert.equal(registry.add({ type: "free", id: "f" }), true);
  assert.deepEqual(
    registry.list().map(({ id, problem }) => [id, problem]),
    [
      ["s", "no disk"],
      ["u", "requires store: s could not be loaded (no disk)"],
      ["o", "requires user: u could not be loaded (requires store: s could not be loaded (no disk))"],
      ["f", undefined],
    ],
  );
  registry.add({ type: "store", id: "second" });
  assert.equal(registry.add({ type: "user", id: "v", requires: ["store"] }), true, "one of a type is enough");
});

test("what the settings leave out is not there; by its id, too", () => {
  for (const name of ["store.s", "s"]) {
    const registry = new PluginRegistry([name, "cri"]);
    assert.equal(
      registry.load(STORE, () => assert.fail()),
      undefined,
    );
    assert.equal(registry.add(USER), false);
    assert.deepEqual(registry.list(), [{ ...USER, problem: "requires store: s is one of disabled_plugins" }]);
    registry.check();
    assert.throws(
      () => registry.need(STORE),
      /disabled_plugins: found store.s, which berthd cannot leave out/,
    );
  }
});

test("required plugins have to be there", () => {
  const registry = new PluginRegistry(["store.s"], ["user.u"]);
  registry.add(STORE);
  registry.add(USER);
  assert.throws(() => registry.check(), /required_plugins: user.u was not loaded: requires store: s is one/);
  assert.throws(() => new PluginRegistry([], ["x"]).check(), /x was not loaded: there is none of this name/);
  const disabled = new PluginRegistry(["s"], ["s"]);
  disabled.add(STORE);
  assert.throws(() => disabled.check(), /s was not loaded: it is disabled/);
});
