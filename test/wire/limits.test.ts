/** Clients that ask too much of a server, or violate the protocol: other clients are not affected. */
import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import { type TestContext, test } from "node:test";
import { Echo, seen, startEcho } from "../support/wire.ts";

const hello = { value: Buffer.from("hello") };

async function connectTo(path: string): Promise<net.Socket> {
  const socket = net.connect(path);
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

async function echoServer(t: TestContext, options: Parameters<typeof startEcho>[0] = {}) {
  const host = await startEcho(options);
  const sockets: net.Socket[] = [];
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    await host.stop();
  });
  const open = async () => {
    const socket = await connectTo(host.path);
    sockets.push(socket);
    return socket;
  };
  const callOnce = async () => {
    const { connection, echo } = host.dial();
    try {
      return Buffer.from((await echo.unary(hello, { timeoutMs: 5000 })).value).toString();
    } finally {
      connection.close();
    }
  };
  return { host, open, callOnce };
}

test("too many silent connections shut no client out", async (t) => {
  const { open, callOnce } = await echoServer(t, { maxConnections: 20 });
  for (let i = 0; i < 60; i++) await open();
  for (let i = 0; i < 30; i++) assert.equal(await callOnce(), "hello");
});

test("the client with the most connections loses one, even if all have calls in flight", async (t) => {
  // The first connections are one process's, the others another's.
  let accepted = 0;
  const { host, callOnce } = await echoServer(t, {
    maxConnections: 6,
    peerOf: () => (++accepted <= 5 ? 1 : 2),
  });
  const greedy = Array.from({ length: 5 }, () => host.dial());
  const calls = greedy.map(async ({ echo }) => {
    await echo.unary(hello);
    return echo.hang(hello);
  });
  let lost = 0;
  for (const call of calls) call.catch(() => lost++);
  while (seen.hanging < 5) await new Promise((resolve) => setTimeout(resolve, 5));
  const { connection, echo } = host.dial();
  const modest = echo.hang(hello);
  let disconnected = false;
  modest.catch(() => {
    disconnected = true;
  });
  for (let i = 0; i < 10; i++) assert.equal(await callOnce(), "hello");
  assert.ok(lost > 0);
  assert.equal(disconnected, false);
  for (const each of [...greedy, { connection }]) each.connection.close();
});

test("a flood of cancelled calls ends its connection, and no other", async (t) => {
  const { host, callOnce } = await echoServer(t);
  const { connection, echo } = host.dial();
  assert.equal((await echo.unary(hello)).value.length, 5);
  const session = http2.connect("http://localhost", { createConnection: () => net.connect(host.path) });
  session.on("error", () => {});
  const ended = new Promise((resolve) => session.once("close", resolve));
  let asked = 0;
  const flood = () => {
    for (let i = 0; i < 1000 && !session.destroyed && !session.closed; i++) {
      const stream = session.request({
        ":method": "POST",
        ":path": `/${Echo.typeName}/Hang`,
        "content-type": "application/grpc",
      });
      stream.on("error", () => {});
      stream.close(http2.constants.NGHTTP2_CANCEL);
      asked++;
    }
    if (!session.destroyed && asked < 200_000) setImmediate(flood);
  };
  session.once("connect", flood);
  await ended;
  assert.ok(asked < 200_000, `${asked} cancelled calls were let through`);
  assert.equal((await echo.unary(hello)).value.length, 5);
  assert.equal(await callOnce(), "hello");
  connection.close();
});

test("the protocol is detected by its first bytes, however they are split", async (t) => {
  const { open } = await echoServer(t);
  for (const cut of [1, 2, 3]) {
    const post = "POST /no/such HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    const one = await open();
    one.write(post.slice(0, cut));
    await new Promise((resolve) => setTimeout(resolve, 20));
    one.write(post.slice(cut));
    assert.match(String((await once(one, "data"))[0]), /^HTTP\/1\.1 404/);
    const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const two = await open();
    two.write(preface.slice(0, cut));
    await new Promise((resolve) => setTimeout(resolve, 20));
    // With an empty SETTINGS frame, type 4.
    two.write(Buffer.concat([Buffer.from(preface.slice(cut)), Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])]));
    assert.equal(((await once(two, "data"))[0] as Buffer)[3], 4, "the server's settings");
  }
});

test("the first value of a repeated header wins", async (t) => {
  const { host } = await echoServer(t);
  const session = http2.connect("http://localhost", { createConnection: () => net.connect(host.path) });
  t.after(() => session.destroy());
  const stream = session.request({
    ":method": "POST",
    ":path": `/${Echo.typeName}/Unary`,
    "content-type": "application/grpc",
    "containerd-namespace": ["moby", "default"],
  });
  stream.end(Buffer.from([0, 0, 0, 0, 0]));
  stream.resume();
  await once(stream, "end");
  assert.equal(seen.headers["containerd-namespace"], "moby");
});
