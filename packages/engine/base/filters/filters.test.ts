import assert from "node:assert/strict";
import test from "node:test";
import { compileFilters, fieldsOf } from "./index.ts";
import { parseFilter } from "./parse.ts";

const image = fieldsOf(
  { name: "docker.io/library/busybox:latest", "target.digest": "sha256:1" },
  { a: "b", "containerd.io/gc.root": "now", "x y": "z" },
);

function matches(...filters: string[]): boolean {
  return compileFilters(filters, () => image)({});
}

test("selectors", () => {
  assert.ok(matches());
  assert.ok(matches(""));
  assert.ok(matches("name==docker.io/library/busybox:latest"));
  assert.ok(matches('name=="docker.io/library/busybox:latest"'));
  assert.ok(!matches("name==busybox"));
  assert.ok(matches("name!=busybox"));
  assert.ok(matches("name~=busybox"));
  assert.ok(matches("name~=/^docker\\.io\\/library/"));
  assert.ok(matches('labels."containerd.io/gc.root"'));
  assert.ok(matches("labels.a==b"));
  assert.ok(matches('labels."x y"==z'));
  assert.ok(!matches("labels.missing"));
  assert.ok(matches("labels.missing!=b"));
  assert.ok(matches("target.digest==sha256:1"));
});

test("commas mean and, lists mean or", () => {
  assert.ok(!matches("labels.a==b,name==x"));
  assert.ok(matches("labels.a==b,name~=busybox"));
  assert.ok(matches("name==x", "labels.a==b"));
});

test("syntax errors name their position", () => {
  assert.throws(() => parseFilter("name="), /position 5/);
  assert.throws(() => parseFilter("name==a b"), /position 8/);
  assert.throws(() => parseFilter("==a"), /expected a field/);
  assert.throws(() => parseFilter("name~=("), /regular expression/);
  assert.throws(() => parseFilter("name=="), /expected a value/);
  assert.throws(() => parseFilter("a,"), /expected a field/);
});
