import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { RequestSchema, ResponseSchema } from "@berth/api/ttrpc";
import { BerthError } from "@berth/base";
import { type CallContext, metadataOf, service } from "@berth/rpc";
import {
  create,
  createFileRegistry,
  type DescService,
  type FileRegistry,
  fromBinary,
  toBinary,
} from "@bufbuild/protobuf";
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_wrappers,
} from "@bufbuild/protobuf/wkt";
import { encodeFrame, FLAG, type Frame, FrameReader, MAX_PAYLOAD, TYPE } from "./frames.ts";
import { type ConnectOptions, connect, serve } from "./index.ts";

// A service with a method of each kind, on strings.
const TEXT = ".google.protobuf.StringValue";
const registry: FileRegistry = createFileRegistry(
  create(FileDescriptorSetSchema, {
    file: [
      file_google_protobuf_wrappers.proto,
      create(FileDescriptorProtoSchema, {
        name: "echo.proto",
        package: "test",
        syntax: "proto3",
        dependency: ["google/protobuf/wrappers.proto"],
        service: [
          {
            name: "Echo",
            method: [
              { name: "Once", inputType: TEXT, outputType: TEXT },
              { name: "Count", inputType: TEXT, outputType: TEXT, serverStreaming: true },
              { name: "Join", inputType: TEXT, outputType: TEXT, clientStreaming: true },
              {
                name: "Both",
                inputType: TEXT,
                outputType: TEXT,
                clientStreaming: true,
                serverStreaming: true,
              },
              { name: "Absent", inputType: TEXT, outputType: TEXT },
            ],
          },
        ],
      }),
    ],
  }),
);
const Echo = registry.getService("test.Echo") as DescService;

interface Text {
  value: string;
}
type Unary = (request: Text, options?: object) => Promise<Text>;
interface EchoClient {
  once: Unary;
  absent: Unary;
  count(request: Text, options?: object): AsyncIterable<Text>;
  join(requests: AsyncIterable<Text>, options?: object): Promise<Text>;
  both(requests: AsyncIterable<Text>, options?: object): AsyncIterable<Text>;
}

interface Seen {
  calls: CallContext[];
  aborted: string[];
}

function echoService(seen: Seen) {
  return service(Echo, {
    once: async ({ value }: Text, call: CallContext) => {
      seen.calls.push(call);
      if (value === "fail")
        throw new BerthError("permission_denied", "nein „“ 100%", {
          stage: "mount",
          syscall: "mount",
          errno: "EPERM",
          path: "/a",
          hint: "run as root",
        });
      if (value === "large") return { value: "x".repeat(MAX_PAYLOAD) };
      if (value === "hang")
        await new Promise((_, reject) => {
          call.signal.addEventListener("abort", () => {
            seen.aborted.push((call.signal.reason as BerthError).code);
            reject(call.signal.reason);
          });
        });
      return { value };
    },
    async *count({ value }: Text) {
      for (let n = 0; n < Number(value); n++) yield { value: String(n) };
      if (value === "-1") throw new BerthError("not_found", "no such number");
    },
    join: async (requests: AsyncIterable<Text>) => {
      let whole = "";
      for await (const { value } of requests) whole += value;
      return { value: whole };
    },
    async *both(requests: AsyncIterable<Text>) {
      for await (const { value } of requests) {
        if (value === "stop") return;
        yield { value: value.toUpperCase() };
      }
    },
  } as never);
}

async function fixture(t: TestContext, options: Partial<ConnectOptions> = {}) {
  const folder = mkdtempSync(join(tmpdir(), "ttrpc-"));
  const address = `unix://${join(folder, "s")}`;
  const seen: Seen = { calls: [], aborted: [] };
  const server = await serve({ address, services: [echoService(seen)] });
  const connection = connect({ address, ...options });
  t.after(async () => {
    connection.close();
    await server.close(0);
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    folder,
    address,
    server,
    connection,
    seen,
    echo: connection.client(Echo) as unknown as EchoClient,
  };
}

async function* texts(...values: string[]): AsyncGenerator<Text> {
  for (const value of values) yield { value };
}
async function collect(messages: AsyncIterable<Text>): Promise<string[]> {
  const out: string[] = [];
  for await (const { value } of messages) out.push(value);
  return out;
}

test("a method of each kind", async (t) => {
  const { echo } = await fixture(t);
  assert.equal((await echo.once({ value: "hello" })).value, "hello");
  assert.equal((await echo.once({ value: "" })).value, "");
  assert.deepEqual(await collect(echo.count({ value: "3" })), ["0", "1", "2"]);
  assert.deepEqual(await collect(echo.count({ value: "0" })), []);
  assert.equal((await echo.join(texts("a", "", "b"))).value, "ab");
  assert.equal((await echo.join(texts())).value, "");
  assert.deepEqual(await collect(echo.both(texts("a", "b"))), ["A", "B"]);
  assert.deepEqual(await collect(echo.both(texts("a", "stop", "b"))), ["A"]);
});

test("the socket is accessible to its owner only, and an address in use is refused", async (t) => {
  const { folder, address } = await fixture(t);
  assert.equal(statSync(join(folder, "s")).mode & 0o777, 0o600);
  await assert.rejects(serve({ address, services: [] }), { code: "failed_precondition" });
});

test("abstract sockets", async (t) => {
  const address = `@berth-ttrpc-test-${process.pid}`;
  const server = await serve({ address, services: [echoService({ calls: [], aborted: [] })] });
  const connection = connect({ address: address.slice(1), bare: "abstract" });
  t.after(async () => {
    connection.close();
    await server.close(0);
  });
  const echo = connection.client(Echo) as unknown as EchoClient;
  assert.equal((await echo.once({ value: "x" })).value, "x");
});

test("errors carry their facts, and unknown methods are named", async (t) => {
  const { echo } = await fixture(t);
  await assert.rejects(echo.once({ value: "fail" }), {
    code: "permission_denied",
    message: "nein „“ 100%",
    stage: "mount",
    syscall: "mount",
    errno: "EPERM",
    path: "/a",
    hint: "run as root",
  });
  await assert.rejects(echo.absent({ value: "" }), { code: "unimplemented" });
  await assert.rejects(collect(echo.count({ value: "-1" })), { code: "not_found" });
});

test("metadata and deadlines reach the handler", async (t) => {
  const { echo, seen } = await fixture(t, { headers: { "Containerd-Namespace-Ttrpc": "k8s.io" } });
  const before = performance.now();
  await echo.once({ value: "x" }, { timeoutMs: 60_000, headers: { more: "1" } });
  const call = seen.calls[0]!;
  assert.equal(call.headers["containerd-namespace-ttrpc"], "k8s.io");
  assert.equal(call.headers.more, "1");
  assert.ok(call.deadline! > before + 50_000 && call.deadline! < before + 120_000);
});

test("the first value of repeated metadata wins", () => {
  const raw = ["A", "1", "b", "2", "a", "3"];
  assert.deepEqual({ ...metadataOf(raw) }, { a: "1", b: "2" });
});

test("a deadline ends the call on both sides, and leaves the connection as it was", async (t) => {
  const { echo, seen, server } = await fixture(t);
  await assert.rejects(echo.once({ value: "hang" }, { timeoutMs: 20 }), { code: "deadline_exceeded" });
  assert.equal((await echo.once({ value: "after" })).value, "after");
  while (seen.aborted.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(seen.aborted, ["deadline_exceeded"]);
  assert.equal(server.connections, 1);
});

test("a client that goes away cancels its calls", async (t) => {
  const { echo, seen, connection } = await fixture(t);
  const call = echo.once({ value: "hang" });
  await echo.once({ value: "x" });
  connection.close();
  await assert.rejects(call, { code: "canceled" });
  while (seen.aborted.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(seen.aborted, ["canceled"]);
});

test("an aborted call is dropped by the client only", async (t) => {
  const { echo } = await fixture(t);
  const given = new AbortController();
  const call = echo.once({ value: "hang" }, { signal: given.signal });
  setTimeout(() => given.abort(), 5);
  await assert.rejects(call, { code: "canceled" });
  assert.equal((await echo.once({ value: "x" })).value, "x");
});

test("many requests in flight, among them streams", async (t) => {
  const { echo } = await fixture(t);
  const answers = await Promise.all(
    Array.from({ length: 2000 }, async (_, n) =>
      n % 10 === 0
        ? (await collect(echo.both(texts(`a${n}`)))).join()
        : (await echo.once({ value: `A${n}` })).value,
    ),
  );
  assert.deepEqual(
    answers,
    Array.from({ length: 2000 }, (_, n) => `A${n}`),
  );
});

test("messages over 4 MiB are refused by name, both ways, and the connection lives on", async (t) => {
  const { echo } = await fixture(t);
  await assert.rejects(echo.once({ value: "x".repeat(MAX_PAYLOAD) }), { code: "resource_exhausted" });
  await assert.rejects(echo.once({ value: "large" }), { code: "resource_exhausted" });
  const most = "y".repeat(MAX_PAYLOAD - 100);
  assert.equal((await echo.once({ value: most })).value, most);
});

test("a slow reader holds the sender back, and loses nothing", async (t) => {
  const { echo } = await fixture(t);
  const piece = "z".repeat(100_000);
  let sent = 0;
  async function* source() {
    for (; sent < 200; sent++) yield { value: piece };
  }
  let got = 0;
  for await (const { value } of echo.both(source())) {
    assert.equal(value.length, piece.length);
    if (got++ < 20) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.equal(got, 200);
});

test("the connection is dialled again after the server went away", async (t) => {
  const { folder, address, server, seen } = await fixture(t);
  let lost = 0;
  const connection = connect({ address, onLost: () => lost++ });
  t.after(() => connection.close());
  const echo = connection.client(Echo) as unknown as EchoClient;
  await echo.once({ value: "x" });
  const waiting = echo.once({ value: "hang" });
  waiting.catch(() => {});
  await server.close(0);
  await assert.rejects(waiting, { code: "unavailable" });
  assert.equal(lost, 1);
  await assert.rejects(echo.once({ value: "x" }), { code: "unavailable" });
  rmSync(join(folder, "s"), { force: true });
  const second = await serve({ address, services: [echoService(seen)] });
  t.after(() => second.close(0));
  assert.equal((await echo.once({ value: "again" })).value, "again");
});

// A peer that speaks in raw frames.
async function rawPeer(t: TestContext, address: string) {
  const socket = net.connect(address.slice("unix://".length));
  const reader = new FrameReader();
  const frames: Frame[] = [];
  let wake: () => void = () => {};
  socket.on("data", (chunk: Buffer) => {
    reader.push(chunk);
    for (let frame = reader.next(); frame !== undefined; frame = reader.next())
      frames.push({ ...frame, payload: Uint8Array.from(frame.payload) });
    wake();
  });
  socket.on("error", () => {});
  t.after(() => socket.destroy());
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  return {
    send: (stream: number, type: number, flags: number, payload?: Uint8Array) => {
      for (const part of encodeFrame(stream, type, flags, payload)) socket.write(part);
    },
    write: (bytes: Uint8Array) => socket.write(bytes),
    next: async () => {
      while (frames.length === 0)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      return frames.shift()!;
    },
  };
}

const text = (value: string) =>
  toBinary(Echo.methods[0]!.input, create(Echo.methods[0]!.input, { value } as never));
const request = (method: string, payload?: Uint8Array<ArrayBuffer>) =>
  toBinary(
    RequestSchema,
    create(RequestSchema, { service: "test.Echo", method, ...(payload ? { payload } : {}) }),
  );
const statusCode = (frame: Frame) => fromBinary(ResponseSchema, frame.payload).status?.code;

test("protocol violations are answered on their stream", async (t) => {
  const { address } = await fixture(t);
  const peer = await rawPeer(t, address);
  peer.send(2, TYPE.request, 0, request("Once", text("x")));
  assert.equal(statusCode(await peer.next()), 3);
  peer.send(5, TYPE.request, 0, request("Once", text("x")));
  assert.equal((await peer.next()).stream, 5);
  peer.send(3, TYPE.request, 0, request("Once", text("x")));
  assert.equal(statusCode(await peer.next()), 3);
  peer.send(99, TYPE.data, 0, text("x"));
  assert.equal(statusCode(await peer.next()), 3);
  peer.send(7, TYPE.request, 0, Buffer.from([0xff, 0xff]));
  assert.equal(statusCode(await peer.next()), 3);
  peer.send(9, TYPE.request, 0, request("Nothing"));
  assert.equal(statusCode(await peer.next()), 12);
  peer.send(11, TYPE.request, 0, request("Once", text("hang")));
  peer.send(11, TYPE.data, 0, text("x"));
  assert.equal(statusCode(await peer.next()), 3);
  const head = Buffer.alloc(10);
  head.writeUInt32BE(MAX_PAYLOAD + 1, 0);
  head.writeUInt32BE(13, 4);
  head[8] = TYPE.request;
  peer.write(head);
  peer.write(Buffer.alloc(MAX_PAYLOAD + 1));
  assert.equal(statusCode(await peer.next()), 8);
  peer.send(15, 77, 0, text("of a later version"));
  peer.send(15, TYPE.request, 0, request("Once", text("still here")));
  const last = await peer.next();
  assert.equal(last.stream, 15);
  assert.equal(statusCode(last), undefined);
});

test("streams as Go's peers write them", async (t) => {
  const { address } = await fixture(t);
  const peer = await rawPeer(t, address);
  // Server streaming: the request says that nothing follows.
  peer.send(1, TYPE.request, FLAG.closed, request("Count", text("1")));
  const first = await peer.next();
  assert.deepEqual([first.type, first.flags], [TYPE.data, 0]);
  const end = await peer.next();
  assert.deepEqual([end.type, end.flags], [TYPE.data, FLAG.closed | FLAG.empty]);
  // Client streaming: the end comes with the last data, or after it; an empty message is one.
  peer.send(3, TYPE.request, FLAG.open, request("Join"));
  peer.send(3, TYPE.data, 0, text("a"));
  peer.send(3, TYPE.data, 0);
  peer.send(3, TYPE.data, FLAG.closed, text("b"));
  const joined = await peer.next();
  assert.equal(joined.type, TYPE.response);
  assert.deepEqual(fromBinary(ResponseSchema, joined.payload).payload, text("ab"));
  // A first message in the request itself.
  peer.send(5, TYPE.request, FLAG.open, request("Both", text("x")));
  assert.deepEqual((await peer.next()).payload, text("X"));
  peer.send(5, TYPE.data, FLAG.closed | FLAG.empty);
  assert.equal((await peer.next()).flags, FLAG.closed | FLAG.empty);
});

test("a peer that reads no responses is not read from indefinitely", async (t) => {
  const { address, seen } = await fixture(t);
  const socket = net.connect(address.slice("unix://".length));
  socket.on("error", () => {});
  t.after(() => socket.destroy());
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  socket.pause();
  const payload = request("Once", text("w".repeat(1 << 20)));
  let stuck = false;
  for (let id = 1; id < 2 * 200 && !stuck; id += 2) {
    let room = true;
    for (const part of encodeFrame(id, TYPE.request, 0, payload)) room = socket.write(part);
    if (!room)
      stuck = await Promise.race([
        new Promise<boolean>((resolve) => socket.once("drain", () => resolve(false))),
        new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 1000)),
      ]);
  }
  assert.ok(stuck, "the server went on reading");
  assert.ok(seen.calls.length < 60, `${seen.calls.length} calls were taken`);
});
