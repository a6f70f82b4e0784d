import assert from "node:assert/strict";
import test from "node:test";
import { compileFilters, fieldsOf } from "./index.ts";
import { parseFilter } from "./parse.ts";

const image = fieldsOf(
  { name: "docker.io/library/busybox:latest", "target.digest": "sha256:1", parent: "", empty: "" },
  { a: "b", "containerd.io/gc.root": "now", "x y": "z", quoted: '"x"' },
  { "org.example/a": "b" },
);

const matches = async (...filters: string[]) => (await compileFilters(filters, () => image))({});

/** Checks filters that match, and such that do not. */
async function expect(matching: readonly string[], others: readonly string[]): Promise<void> {
  for (const filter of matching) assert.ok(await matches(filter), `matches: ${filter}`);
  for (const filter of others) assert.ok(!(await matches(filter)), `does not match: ${filter}`);
}

test("selectors", async () => {
  assert.ok(await matches());
  await expect(
    [
      "",
      "name==docker.io/library/busybox:latest",
      'name=="docker.io/library/busybox:latest"',
      "name!=busybox",
      "name~=busybox",
      'labels."containerd.io/gc.root"',
      "labels.a==b",
      'labels."x y"==z',
      "target.digest==sha256:1",
      'annotations."org.example/a"==b',
      "name == docker.io/library/busybox:latest",
    ],
    ["name==busybox", "labels.missing", "labels", "labels.constructor", "NAME~=busybox"],
  );
});

test("a field that is absent compares as the empty text, as in containerd", async () => {
  await expect(
    ["labels.missing!=b", "labels.missing~=^$", "parent", 'parent==""', 'name!=""'],
    ['parent!=""', 'labels.missing!=""', 'labels.missing==""', "empty", 'empty==""'],
  );
});

test("regular expressions are Go's, in Go's quotes; an invalid one matches nothing", async () => {
  await expect(
    [
      "name~=/^docker[.]io\\/library/",
      "name~=|^docker[.]io/|",
      'name~="^docker\\\\.io/"',
      'labels.quoted~="\\"x\\""',
      'labels.quoted~="\\\\\\"x\\\\\\""',
      "name~=(?i)BUSYBOX",
      "name~=\\Adocker",
      "name~=/\\x64ocker/",
      "name~=/\\144ocker/",
    ],
    ["name~=(", "name~=(?<!x)y", 'name~="a{2,1}"'],
  );
  // It would take longer than the universe has been there if it were matched by trial.
  const field = fieldsOf({ name: `${"a".repeat(500)}!` });
  assert.ok(!(await compileFilters(["name~=^(a+)+$"], () => field))({}));
});

test("commas mean and, lists mean or", async () => {
  await expect(["labels.a==b,name~=busybox", "labels.a==b, name~=busybox"], ["labels.a==b,name==x"]);
  assert.ok(await matches("name==x", "labels.a==b"));
});

test("syntax errors name their position", () => {
  for (const [filter, message] of [
    ["name=", /position 5/],
    ["name==a b", /position 8/],
    ["name==a ,b", /position 8, expected a comma or the end/],
    ["name ", /the end at position 6/],
    ["==a", /expected a field/],
    ["name==", /expected a value/],
    ["name==.a", /expected a value/],
    ["name==/a/", /expected a value/],
    ["a,", /expected a field/],
    ['name=="a', /expected a valid quoted text/],
    ["name~=/docker\\.io/", /position 7, expected a valid quoted text/],
    ['name=="\\x4"', /a valid quoted text/],
    ['name=="\\u00"', /a valid quoted text/],
    ['name=="\\777"', /a valid quoted text/],
  ] as const)
    assert.throws(() => parseFilter(filter), { code: "invalid_argument", message }, filter);
});
