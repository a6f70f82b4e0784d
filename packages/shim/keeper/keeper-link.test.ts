import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { KeeperLink } from "./keeper-link.ts";

test("a command to a keeper that has gone fails at once, not after the time for an answer", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "keeper-"));
  const path = join(folder, "s");
  const server = net.createServer((socket) => socket.end("PID 5\nEXIT 3 17 0\n"));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });
  const link = await KeeperLink.open(path);
  // The link lets the process end, which this test must outlive.
  const hold = setInterval(() => {}, 1000);
  t.after(() => clearInterval(hold));
  assert.deepEqual(await link!.ended, { exitStatus: 3, exitedAt: 17n, ooms: 0 });
  await assert.rejects(link!.command("RESIZE 1 1"), { code: "not_found" });
});
