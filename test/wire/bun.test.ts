/** The client on Bun, which the compiled commands use, against the server on Node. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import test from "node:test";
import { promisify } from "node:util";
import { ROOT } from "../support/checkout.ts";
import { startEcho } from "../support/wire.ts";

test("Bun's client downloads on fresh connections, cancels, and sees errors", async () => {
  const host = await startEcho();
  try {
    const bun = join(ROOT, "node_modules/.bin/bun");
    const script = join(import.meta.dirname, "bun-client.ts");
    const { stdout } = await promisify(execFile)(bun, [script, host.path], { timeout: 60_000 });
    assert.equal(
      stdout,
      `${(16 << 20) - 16 + 20_000_000} canceled deadline_exceeded failed_precondition unimplemented\n`.repeat(
        10,
      ),
    );
  } finally {
    await host.stop();
  }
});
