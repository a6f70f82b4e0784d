import assert from "node:assert/strict";
import test from "node:test";
import { encodeFrame, FLAG, type Frame, FrameReader, MAX_PAYLOAD, TYPE } from "./frames.ts";

const whole = (...frames: Uint8Array[][]) => Buffer.concat(frames.flat());
function readAll(reader: FrameReader): Frame[] {
  const out: Frame[] = [];
  for (let frame = reader.next(); frame !== undefined; frame = reader.next()) out.push(frame);
  return out;
}

test("a frame is ten bytes of header and its payload", () => {
  assert.equal(
    whole(encodeFrame(0x01020304, TYPE.data, FLAG.closed | FLAG.empty)).toString("hex"),
    "00000000010203040305",
  );
  assert.equal(
    whole(encodeFrame(7, TYPE.request, 0, Buffer.from("hi"))).toString("hex"),
    "000000020000000701006869",
  );
});

test("frames are reassembled however the bytes were split", () => {
  const large = Buffer.alloc(100_000, 0x61);
  const bytes = whole(
    encodeFrame(1, TYPE.request, FLAG.open, Buffer.from("one")),
    encodeFrame(1, TYPE.data, 0, large),
    encodeFrame(1, TYPE.data, FLAG.closed | FLAG.empty),
  );
  for (const size of [1, 7, 10, 4096, bytes.length]) {
    const reader = new FrameReader();
    const found: Frame[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      reader.push(bytes.subarray(at, at + size));
      found.push(...readAll(reader));
    }
    assert.deepEqual(
      found.map((f) => [f.stream, f.type, f.flags, f.payload.length]),
      [
        [1, TYPE.request, FLAG.open, 3],
        [1, TYPE.data, 0, large.length],
        [1, TYPE.data, FLAG.closed | FLAG.empty, 0],
      ],
    );
    assert.ok(large.equals(found[1]!.payload));
  }
});

test("a payload over the limit is skipped, and the next frame is read", () => {
  const reader = new FrameReader();
  const head = Buffer.alloc(10);
  head.writeUInt32BE(MAX_PAYLOAD + 5, 0);
  head.writeUInt32BE(3, 4);
  head[8] = TYPE.request;
  reader.push(head);
  assert.equal(reader.next(), undefined);
  const piece = Buffer.alloc(1 << 20);
  for (let n = 0; n < 4; n++) {
    reader.push(piece);
    assert.equal(reader.next(), undefined);
  }
  reader.push(whole([Buffer.alloc(5)], encodeFrame(5, TYPE.request, 0, Buffer.from("x"))));
  const frames = readAll(reader);
  assert.deepEqual(
    frames.map((f) => [f.stream, f.oversized, f.payload.length]),
    [
      [3, MAX_PAYLOAD + 5, 0],
      [5, undefined, 1],
    ],
  );
});

test("a payload over the limit is not sent", () => {
  encodeFrame(1, TYPE.data, 0, Buffer.alloc(MAX_PAYLOAD));
  assert.throws(() => encodeFrame(1, TYPE.data, 0, Buffer.alloc(MAX_PAYLOAD + 1)), {
    code: "resource_exhausted",
  });
});
