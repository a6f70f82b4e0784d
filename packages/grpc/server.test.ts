import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { isCode } from "@berth/base";
import { serve } from "./server.ts";

function socketPath(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "berth-grpc-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "berth.sock");
}

/** Records the addresses that are listened on, in order. */
function addressesOf(t: TestContext): ("tcp" | "socket")[] {
  const seen: ("tcp" | "socket")[] = [];
  const { listen } = net.Server.prototype;
  t.mock.method(
    net.Server.prototype,
    "listen",
    function (this: net.Server, ...args: Parameters<typeof listen>) {
      this.once("listening", () => seen.push(typeof this.address() === "string" ? "socket" : "tcp"));
      return listen.apply(this, args);
    },
  );
  return seen;
}

const tcp = { host: "127.0.0.1", port: 0, ca: "", cert: "", key: "" };

test("a client that finds the socket finds TCP, too", async (t) => {
  const listening = addressesOf(t);
  const server = await serve({ path: socketPath(t), services: [], tcp });
  t.after(() => server.close());
  assert.deepEqual(listening, ["tcp", "socket"]);
});

test("without the socket, TCP is not kept", async (t) => {
  const path = socketPath(t);
  const other = net.createServer().listen(path);
  t.after(() => other.close());
  await once(other, "listening");
  const probe = net.createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as net.AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  await assert.rejects(serve({ path, services: [], tcp: { ...tcp, port } }), (error) =>
    isCode(error, "failed_precondition"),
  );
  const [error] = await once(net.connect(port, "127.0.0.1"), "error");
  assert.equal(error.code, "ECONNREFUSED");
});
