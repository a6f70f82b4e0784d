/** The wire: servers that stop and restart, sockets in use, JSON for curl. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { isCode } from "@berth/base";
import { connect } from "@berth/grpc";
import { Echo, startEcho } from "../support/wire.ts";

const empty = { value: new Uint8Array() };

test("kill and reconnect", async () => {
  const folder = mkdtempSync(join(tmpdir(), "berth-wire-"));
  const path = join(folder, "s");
  const first = await startEcho({ path });
  const { connection, echo } = first.dial({ dialTimeoutMs: 2000 });
  await echo.unary(empty);
  const hanging = echo.hang(empty);
  const result = assert.rejects(hanging, (e) => isCode(e, "unavailable"));
  await new Promise((resolve) => setTimeout(resolve, 20));
  await first.stop();
  await result;
  const waiting = echo.unary({ value: Buffer.from("again") });
  const second = await startEcho({ path });
  assert.equal((await waiting).value.length, 5);
  connection.close();
  await second.stop();
  rmSync(folder, { recursive: true, force: true });
});

test("no listener: unavailable, with a hint", async () => {
  const connection = connect({ path: "/nonexistent/berth.sock" });
  const echo = connection.client(Echo) as unknown as { unary(r: object): Promise<unknown> };
  await assert.rejects(echo.unary(empty), (e: Error & { hint?: string }) => {
    assert.ok(isCode(e, "unavailable"));
    assert.match(e.message, /\/nonexistent\/berth\.sock/);
    assert.match(e.hint ?? "", /berthd running/);
    return true;
  });
});

test("a socket in use is refused, a stale one is replaced, a file is left alone", async () => {
  const one = await startEcho();
  await assert.rejects(startEcho({ path: one.path }), /already listening/);
  await one.stop();
  const folder = mkdtempSync(join(tmpdir(), "berth-wire-"));
  const file = join(folder, "file");
  writeFileSync(file, "");
  await assert.rejects(startEcho({ path: file }), /not a socket/);
  await assert.rejects(startEcho({ path: join(folder, "x".repeat(120)) }), /at most 107/);
  rmSync(folder, { recursive: true, force: true });
});

test("a removed socket is recreated; connections continue meanwhile", async () => {
  const host = await startEcho();
  const before = host.dial();
  await before.echo.unary(empty);
  const hanging = before.echo.hang(empty);
  let cut = false;
  hanging.catch(() => {
    cut = true;
  });
  rmSync(host.path);
  const after = host.dial({ dialTimeoutMs: 10_000 });
  assert.equal((await after.echo.unary({ value: Buffer.from("back") })).value.length, 4);
  assert.equal(statSync(host.path).mode & 0o777, 0o660);
  assert.equal((await before.echo.unary({ value: Buffer.from("still") })).value.length, 5);
  assert.equal(cut, false);
  for (const { connection } of [before, after]) connection.close();
  await host.stop();
});

test("another process's socket in its place is left alone", async () => {
  const host = await startEcho();
  const { connection, echo } = host.dial();
  await echo.unary(empty);
  rmSync(host.path);
  writeFileSync(host.path, "mine");
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.equal(readFileSync(host.path, "utf8"), "mine");
  connection.close();
  await host.stop();
});

function post(socketPath: string, path: string, body: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const request = http.request(
      { socketPath, path, method: "POST", headers: { "content-type": "application/json" } },
      (response) => {
        let text = "";
        response.on("data", (chunk) => (text += chunk));
        response.on("end", () => resolve({ status: response.statusCode!, text }));
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}

test("JSON over HTTP/1.1 on the same socket", async () => {
  const host = await startEcho();
  const name = Echo.typeName;
  assert.deepEqual(await post(host.path, `/${name}/Unary`, '"aGk="'), { status: 200, text: '"aGk="\n' });
  const lines = await post(
    host.path,
    `/${name}/Download`,
    JSON.stringify(Buffer.from("3x1").toString("base64")),
  );
  assert.equal(lines.text, '"AA=="\n'.repeat(3));
  const failed = await post(host.path, `/${name}/Fail`, '""');
  assert.equal(failed.status, 412);
  assert.equal(JSON.parse(failed.text).errno, "EBUSY");
  assert.equal((await post(host.path, `/${name}/Nope`, "{}")).status, 404);
  assert.equal((await post(host.path, `/${name}/Unary`, "{")).status, 400);
  await host.stop();
});
