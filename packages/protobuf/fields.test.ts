import assert from "node:assert/strict";
import { test } from "node:test";
import { BerthError } from "@berth/base";
import { MessageReader, MessageWriter } from "./fields.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

test("varints, strings, nested messages, and skipped fields", () => {
  const inner = new MessageWriter().text(1, "é").number(2, -1);
  const bytes = new MessageWriter().number(1, 300).flag(2, false).flag(3, true).message(4, inner).finish();
  // 300 is ac 02; a negative int32 takes ten bytes.
  assert.equal(hex(bytes), `08ac021801220f0a02c3a910${"ff".repeat(9)}01`);
  const m = new MessageReader(bytes);
  assert.deepEqual([m.number(1), m.flag(2), m.flag(3)], [300, false, true]);
  assert.deepEqual([m.message(4)?.text(1), m.message(4)?.number(2), m.message(9)], ["é", -1, undefined]);
  // Fixed-size fields are skipped.
  assert.equal(new MessageReader(Buffer.from("0d01020304090102030405060708100a", "hex")).number(2), 10);
  for (const bad of ["0aff01", "08", "0affffffffffffffffff01", "0b", "09010203", `08${"80".repeat(11)}`])
    assert.throws(() => new MessageReader(Buffer.from(bad, "hex")), BerthError, bad);
});

test("a repeated message has all its values, a single one the last", () => {
  const part = (text: string) => new MessageWriter().text(1, text);
  const m = new MessageReader(new MessageWriter().message(3, part("a")).message(3, part("b")).finish());
  assert.deepEqual(
    m.messages(3).map((each) => each.text(1)),
    ["a", "b"],
  );
  assert.equal(m.message(3)?.text(1), "b");
  assert.deepEqual(m.messages(4), []);
});
