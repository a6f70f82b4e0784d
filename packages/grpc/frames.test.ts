import assert from "node:assert/strict";
import test from "node:test";
import { isCode } from "@berth/base";
import { encodingOf, FrameReader, frame } from "./frames.ts";

function bytes(...parts: Uint8Array[]): Buffer {
  return Buffer.concat(parts);
}

test("messages are reassembled however the bytes were split", () => {
  const messages = [Buffer.alloc(0), Buffer.from("a"), Buffer.alloc(70_000, 7)];
  const wire = bytes(...messages.flatMap((m) => frame(m, "identity")));
  for (const cut of [1, 3, 5, 4096, wire.length]) {
    const reader = new FrameReader(1 << 20, "identity");
    const got: Buffer[] = [];
    for (let at = 0; at < wire.length; at += cut) {
      reader.push(wire.subarray(at, at + cut));
      for (let m = reader.next(); m !== undefined; m = reader.next()) got.push(Buffer.from(m));
    }
    reader.end();
    assert.deepEqual(got, messages);
  }
});

test("a message over the limit is refused on its header alone", () => {
  const reader = new FrameReader(10, "identity");
  reader.push(frame(Buffer.alloc(11), "identity")[0]!.subarray(0, 5));
  assert.throws(
    () => reader.next(),
    (e) => isCode(e, "resource_exhausted"),
  );
});

test("gzip: large messages are compressed, zip bombs are refused", () => {
  const message = Buffer.alloc(100_000, 1);
  const wire = bytes(...frame(message, "gzip"));
  assert.ok(wire.length < 1000);
  const reader = new FrameReader(message.length, "gzip");
  reader.push(wire);
  assert.deepEqual(reader.next(), message);
  const small = new FrameReader(50_000, "gzip");
  small.push(wire);
  assert.throws(
    () => small.next(),
    (e) => isCode(e, "resource_exhausted"),
  );
});

test("malformed frames are reported", () => {
  const flags = new FrameReader(10, "identity");
  flags.push(Buffer.from([9, 0, 0, 0, 0]));
  assert.throws(() => flags.next(), /flags 9/);
  const unasked = new FrameReader(10, "identity");
  unasked.push(Buffer.from([1, 0, 0, 0, 0]));
  assert.throws(() => unasked.next(), /without a grpc-encoding/);
  const half = new FrameReader(10, "identity");
  half.push(Buffer.from([0, 0, 0, 0, 5, 1]));
  assert.equal(half.next(), undefined);
  assert.throws(() => half.end(), /middle of a message/);
  assert.throws(() => encodingOf("snappy"), /snappy/);
});
