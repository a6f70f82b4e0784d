import assert from "node:assert/strict";
import test from "node:test";
import { recordStage, stage } from "@berth/base";
import { type Node, Recorder } from "./recorder.ts";

function names(node: Node): unknown {
  return node.children.length === 0 ? node.stage.name : [node.stage.name, ...node.children.map(names)];
}

test("operations are kept as trees, by container", async () => {
  const recorder = new Recorder();
  recorder.start();
  await stage("create", { namespace: "n", container: "c1" }, async () => {
    assert.equal(recorder.inFlight().length, 1);
    await stage("plan", {}, async () => {
      recordStage("clone", {}, 1, 2);
    });
    await stage("mount", {}, async () => {});
  });
  await stage("create", { namespace: "n", container: "c2" }, async () => {}).catch(() => {});
  await assert.rejects(
    stage("start", { namespace: "n", container: "c1" }, async () => {
      throw new Error("no");
    }),
  );
  recorder.stop();
  assert.deepEqual(recorder.about("n", "c1", 10).map(names), [
    "start",
    ["create", ["plan", "clone"], "mount"],
  ]);
  assert.equal(recorder.about("n", "c1", 10)[0]!.stage.error, "no");
  assert.equal(recorder.about("other", "c1", 10).length, 0);
  assert.equal(recorder.inFlight().length, 0);
});
