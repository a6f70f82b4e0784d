/** The wire, end to end over a real socket: kinds of calls, sizes, errors, cancellation. */
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import http2 from "node:http2";
import net from "node:net";
import test, { after } from "node:test";
import { BerthError, isCode } from "@berth/base";
import { until } from "../support/until.ts";
import { Echo, seen, startEcho } from "../support/wire.ts";

const host = await startEcho();
const { connection, echo } = host.dial();
after(async () => {
  connection.close();
  await host.stop();
});
const MiB = 1 << 20;

test("unary, empty to 16 MiB, and no more", async () => {
  for (const size of [0, 1, 16_384, 16 * MiB - 16]) {
    const value = new Uint8Array(size).fill(size % 251);
    const got = await echo.unary({ value });
    assert.equal(Buffer.compare(got.value, value), 0);
  }
  await assert.rejects(echo.unary({ value: new Uint8Array(16 * MiB + 1) }), (e) =>
    isCode(e, "resource_exhausted"),
  );
  assert.equal((await echo.unary({ value: Buffer.from("still there") })).value.length, 11);
});

test("streams of all kinds", async () => {
  const pieces = async function* () {
    for (let i = 0; i < 100; i++) yield { value: new Uint8Array(10_000) };
  };
  assert.equal(Buffer.from((await echo.upload(pieces())).value).toString(), "1000000");
  let n = 0;
  for await (const m of echo.download({ value: Buffer.from("1000x100") })) n += m.value.length;
  assert.equal(n, 100_000);
  n = 0;
  for await (const m of echo.chat(pieces())) n += m.value.length;
  assert.equal(n, 1_000_000);
});

test("16 MiB downloads, each on a fresh connection", async () => {
  for (let i = 0; i < 10; i++) {
    const fresh = host.dial();
    const got = await fresh.echo.unary({ value: new Uint8Array(16 * MiB - 16) });
    assert.equal(got.value.length, 16 * MiB - 16);
    let n = 0;
    for await (const m of fresh.echo.download({ value: Buffer.from("16x1048576") })) n += m.value.length;
    assert.equal(n, 16 * MiB);
    fresh.connection.close();
  }
});

test("a slow reader holds the writer back", async () => {
  seen.written = 0;
  const stream = echo.download({ value: Buffer.from("2000x65536") })[Symbol.asyncIterator]();
  await stream.next();
  await new Promise((resolve) => setTimeout(resolve, 300));
  // 4 MiB of window, plus the buffers at both ends, but not 125 MiB.
  assert.ok(seen.written < 200, `${seen.written} messages were written ahead`);
  let n = 1;
  while (!(await stream.next()).done) n++;
  assert.equal(n, 2000);
});

test("gzip both ways", async () => {
  const zip = host.dial({ encoding: "gzip" });
  const value = Buffer.alloc(3 * MiB, "abc");
  assert.equal(Buffer.compare((await zip.echo.unary({ value })).value, value), 0);
  zip.connection.close();
});

test("deadlines end the call on both sides", async () => {
  const before = seen.aborted;
  await assert.rejects(echo.hang({ value: new Uint8Array() }, { timeoutMs: 30 }), (e) =>
    isCode(e, "deadline_exceeded"),
  );
  await until("the handler saw it", () => seen.aborted === before + 1);
});

test("cancellation is seen by the handler, 2,000 times on one connection", async () => {
  const before = seen.aborted;
  for (let round = 0; round < 20; round++) {
    const controllers = Array.from({ length: 100 }, () => new AbortController());
    const hanging = seen.hanging + 100;
    const calls = controllers.map((c) => echo.hang({ value: new Uint8Array() }, { signal: c.signal }));
    await until("all calls arrived", () => seen.hanging === hanging);
    for (const c of controllers) c.abort();
    for (const result of await Promise.allSettled(calls))
      assert.ok(result.status === "rejected" && isCode(result.reason, "canceled"));
  }
  await until("the handlers saw it", () => seen.aborted === before + 2000);
  assert.equal((await echo.unary({ value: Buffer.from("alive") })).value.length, 5);
});

test("leaving a stream early ends it", async () => {
  for await (const m of echo.download({ value: Buffer.from("1000000x1000") })) {
    assert.equal(m.value.length, 1000);
    break;
  }
  assert.equal((await echo.unary({ value: Buffer.from("alive") })).value.length, 5);
});

test("errors arrive with their facts", async () => {
  await assert.rejects(echo.fail({ value: new Uint8Array() }), (e) => {
    assert.ok(e instanceof BerthError);
    assert.equal(e.code, "failed_precondition");
    assert.equal(e.message, "the düse is blocked");
    assert.deepEqual([e.stage, e.errno, e.path, e.hint], ["mount", "EBUSY", "/düse", "unblock it"]);
    return true;
  });
});

test("unknown and missing methods are unimplemented", async () => {
  await assert.rejects(echo.missing({ value: new Uint8Array() }), (e) => isCode(e, "unimplemented"));
});

test("a percent-encoded :authority and an unknown path, by raw HTTP/2", async () => {
  const session = http2.connect("http://localhost", { createConnection: () => net.connect(host.path) });
  const call = (path: string, body: Buffer) =>
    new Promise<Record<string, unknown>>((resolve, reject) => {
      const stream = session.request({
        ":method": "POST",
        ":path": path,
        ":authority": "%2Frun%2Fberth%2Fberth.sock",
        "content-type": "application/grpc",
        te: "trailers",
      });
      let all: Record<string, unknown> = {};
      stream.on("response", (h) => (all = { ...all, ...h }));
      stream.on("trailers", (h) => (all = { ...all, ...h }));
      stream.on("error", reject);
      stream.on("end", () => resolve(all));
      stream.resume();
      stream.end(body);
    });
  const empty = Buffer.alloc(5);
  assert.equal((await call(`/${Echo.typeName}/Unary`, empty))["grpc-status"], "0");
  assert.equal((await call("/no.Such/Method", empty))["grpc-status"], "12");
  session.destroy();
});

test("the socket belongs to its owner and group only", () => {
  assert.equal(statSync(host.path).mode & 0o777, 0o660);
});
