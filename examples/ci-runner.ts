/**
 * Runs one step of a build in a fresh container: its output as it comes, its exit code, and no longer than it may take.
 *
 *     node examples/ci-runner.ts SECONDS IMAGE COMMAND [ARG...]    # as root; IMAGE in full: docker.io/library/busybox:latest
 *
 * Ends as timeout(1) does: with the command's exit code, 124 when time was up or a signal came, 125 for errors of its own.
 */
import { randomUUID } from "node:crypto";
import type { Writable } from "node:stream";
import { connect, DEFAULT_ADDRESS, Fifos } from "@berth/client";
import { containerSpec, DEFAULT_CAPABILITIES, dockerSeccomp, machineOfNodeArch } from "@berth/oci";

const [seconds, image, ...args] = process.argv.slice(2);
if (!(Number(seconds) > 0) || image === undefined || args.length === 0) {
  console.error("usage: ci-runner.ts SECONDS IMAGE COMMAND [ARG...]");
  process.exit(2);
}
const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM"]) process.once(name, () => stop.abort(new Error(`${name} came`)));
setTimeout(() => stop.abort(new Error(`${seconds} seconds are up`)), Number(seconds) * 1000).unref();
try {
  process.exitCode = await step(image, args, stop.signal);
} catch (error) {
  console.error(`ci-runner: ${((stop.signal.aborted ? stop.signal.reason : error) as Error).message}`);
  process.exitCode = stop.signal.aborted ? 124 : 125;
}

/** Every call takes the signal, from the pull on; what undoes them does not. */
async function step(name: string, args: readonly string[], signal: AbortSignal): Promise<number> {
  await using cleanup = new AsyncDisposableStack();
  const client = cleanup.use(connect({ address: process.env.BERTH_ADDRESS ?? DEFAULT_ADDRESS }));
  const [found] = await client.images.list([`name==${JSON.stringify(name)}`], { signal });
  const record = found ?? (await client.images.pull(name, { signal }));
  const resolved = await client.images.resolve(record, undefined, { signal });

  // What is there of the container goes at the end, also where only an answer was lost.
  const id = randomUUID();
  cleanup.defer(async () => {
    const [made] = await client.containers.list([`id==${id}`]);
    await (made ? made.remove({ force: true }) : client.snapshots.remove(id).catch(() => {}));
  });
  // Until a container refers to the snapshot, a lease keeps it; if this program is killed, the lease runs out.
  const lease = cleanup.use(await client.leases.create({ seconds: 600, signal }));
  await client.snapshots.prepare(id, resolved.chainId, {}, { headers: lease.headers, signal });
  const seccomp = dockerSeccomp({
    capabilities: DEFAULT_CAPABILITIES,
    machine: machineOfNodeArch(process.arch)!,
  });
  const spec = containerSpec(resolved.config, { id, namespace: client.namespace, args, seccomp });
  const container = await client.containers.create(
    { id, image: name, spec, snapshotter: client.snapshotter, snapshotKey: id },
    { signal },
  );

  const fifos = cleanup.use(await Fifos.create({ stdin: false, stdout: true, stderr: true }));
  const outputs = [
    copy(fifos.read(fifos.stdout), process.stdout),
    copy(fifos.read(fifos.stderr), process.stderr),
  ];
  const { stdout, stderr } = fifos;
  const task = await container.newTask({ stdin: "", stdout, stderr, terminal: false }, { signal });
  await task.start({ signal });
  const { code } = await task.wait({ signal });
  // The process has ended: now the end of its output can be seen.
  fifos.release();
  await Promise.all(outputs);
  return code;
}

/** Waits where the reader is slow, so that nothing piles up here. */
async function copy(from: AsyncIterable<Uint8Array>, to: Writable): Promise<void> {
  for await (const chunk of from) if (!to.write(chunk)) await new Promise((r) => to.once("drain", r));
}
