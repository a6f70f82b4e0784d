import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeHeaders, encodeHeaders } from "./hpack.ts";

test("encoded headers decode to the same headers", () => {
  const headers = { ":path": "/a.B/C", "x-long": "v".repeat(5000), "grpc-timeout": "100m" };
  assert.deepEqual(decodeHeaders(encodeHeaders(headers)), headers);
  assert.throws(() => encodeHeaders({ "x-bad": "line\nfeed" }), /header x-bad: .* printable/);
  assert.throws(() => encodeHeaders({ Upper: "x" }), { code: "invalid_argument" });
});

test("the examples of RFC 7541, C.2, C.4 and C.6", () => {
  const decode = (hex: string) => decodeHeaders(Buffer.from(hex.replaceAll(" ", ""), "hex"));
  assert.deepEqual(decode("040c 2f73 616d 706c 652f 7061 7468"), { ":path": "/sample/path" });
  assert.deepEqual(decode("1008 7061 7373 776f 7264 0673 6563 7265 74"), { password: "secret" });
  assert.deepEqual(decode("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff"), {
    ":method": "GET",
    ":scheme": "http",
    ":path": "/",
    ":authority": "www.example.com",
  });
  assert.deepEqual(
    decode("4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff"),
    {
      ":status": "302",
      "cache-control": "private",
      date: "Mon, 21 Oct 2013 20:13:21 GMT",
    },
  );
});

test("invalid blocks are refused", () => {
  const bad = [
    "80",
    "ff ff ff ff ff ff 01",
    "be",
    "00 01 61",
    "00 05 61",
    "00 01 61 82 ff ff",
    "00 01 61 81 ff",
  ];
  for (const hex of bad)
    assert.throws(() => decodeHeaders(Buffer.from(hex.replaceAll(" ", ""), "hex")), /cannot be read/, hex);
  assert.deepEqual(decodeHeaders(Buffer.from("2088", "hex")), { ":status": "200" });
});
