/**
 * Runs one step of a build in a fresh container: streams its output, returns its exit code, and limits its time.
 *
 *     node examples/ci-runner.ts SECONDS IMAGE COMMAND [ARG...]    # as root
 *
 * Exits like timeout(1): with the command's exit code, 124 after a timeout or signal, 125 for its own errors.
 */
import type { Writable } from "node:stream";
import { connect, DEFAULT_ADDRESS } from "@berth/client";

const [seconds, image, ...args] = process.argv.slice(2);
if (!(Number(seconds) > 0) || image === undefined || args.length === 0) {
  console.error("usage: ci-runner.ts SECONDS IMAGE COMMAND [ARG...]");
  process.exit(2);
}
const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM"]) process.once(name, () => stop.abort(new Error(`${name} came`)));
setTimeout(() => stop.abort(new Error(`${seconds} seconds are up`)), Number(seconds) * 1000).unref();

await using client = connect({ address: process.env.BERTH_ADDRESS ?? DEFAULT_ADDRESS });
try {
  const { code } = await client.containers.run(
    {
      image,
      args,
      onStdout: (chunk) => write(process.stdout, chunk),
      onStderr: (chunk) => write(process.stderr, chunk),
    },
    { signal: stop.signal },
  );
  process.exitCode = code;
} catch (error) {
  console.error(`ci-runner: ${((stop.signal.aborted ? stop.signal.reason : error) as Error).message}`);
  process.exitCode = stop.signal.aborted ? 124 : 125;
}

/** Waits while the reader is slow, so that output is not buffered without limit. */
async function write(to: Writable, chunk: Uint8Array): Promise<void> {
  if (!to.write(chunk)) await new Promise((resolve) => to.once("drain", resolve));
}
