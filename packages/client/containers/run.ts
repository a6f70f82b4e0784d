/** Running a command in a container of its own, from the making to the removal. */

import { LABEL } from "@berth/api/labels";
import { ignoreMissing, SIGKILL } from "@berth/base";
import type { CallOptions } from "@berth/rpc";
import { Fifos } from "../stdio.ts";
import type { Task } from "../tasks.ts";
import { attachedIO } from "./attached-io.ts";
import type { CreateContainer } from "./create.ts";
import type { ContainerHost } from "./host.ts";

/** Takes a piece of output; the container's process waits when this takes long. */
export type OnOutput = (chunk: Uint8Array) => unknown;

/** A command to be run. Its output goes to the container's log, and to these. */
export interface RunContainer extends Omit<CreateContainer, "autoRemove" | "restart" | "openStdin"> {
  stdin?: AsyncIterable<Uint8Array>;
  onStdout?: OnOutput;
  /** With `terminal`, all output is standard output. */
  onStderr?: OnOutput;
}

/** How it ended. */
export interface RunResult {
  /** Exit code, or 128 + signal. */
  code: number;
  /** Id that the container had. */
  id: string;
}

/** Runs the command to its end; an abort of `call.signal` kills it, and rejects with the signal's reason. */
export async function runContainer(
  client: ContainerHost,
  { stdin, onStdout, onStderr, ...options }: RunContainer,
  call: CallOptions,
): Promise<RunResult> {
  const terminal = options.terminal ?? false;
  await using fifos = await Fifos.create({
    stdin: stdin !== undefined,
    stdout: true,
    stderr: !terminal,
  });
  const container = await client.containers.create({ ...options, autoRemove: "attached" }, call);
  const { id } = container;
  try {
    // Read from before the daemon is told of the FIFOs, so that nothing is missed.
    const outputs = [copy(fifos.read(fifos.stdout), onStdout)];
    if (!terminal) outputs.push(copy(fifos.read(fifos.stderr), onStderr));
    const io = attachedIO(container.labels[LABEL.logPath]!, terminal, fifos);
    // Who cannot take the output ends the run: the process would wait for a reader for ever.
    const refused = new Promise<never>((_, reject) => {
      for (const output of outputs) output.catch(reject);
    });
    refused.catch(() => {});
    const task = await container.startTask(io, undefined, call);
    const input = stdin === undefined ? undefined : send(stdin, fifos, task);
    // Given up together with the rest; a process that reads no more is no error.
    input?.catch(() => {});
    const { code } = await Promise.race([ended(task, call), refused]);
    // The process has ended: now the end of its output can be seen.
    fifos.release();
    await Promise.all(outputs);
    await ignoreMissing(container.remove());
    return { code, id };
  } catch (error) {
    await ignoreMissing(container.remove({ force: true })).catch(() => {});
    // Wherever it was given up, the caller's own words say so best.
    throw call.signal?.aborted ? call.signal.reason : error;
  }
}

/** The end of a process, also over a restart of the daemon; killed first when the caller gives up. */
async function ended(task: Task, { signal }: CallOptions): Promise<{ code: number }> {
  const kill = () => void task.kill(SIGKILL, { all: true }).catch(() => {});
  signal?.addEventListener("abort", kill, { once: true });
  try {
    if (signal?.aborted) kill();
    const exit = await task.waitForEnd();
    signal?.throwIfAborted();
    return exit;
  } finally {
    signal?.removeEventListener("abort", kill);
  }
}

async function copy(from: AsyncIterable<Uint8Array>, to: OnOutput | undefined): Promise<void> {
  for await (const chunk of from) await to?.(chunk);
}

async function send(from: AsyncIterable<Uint8Array>, fifos: Fifos, task: Task): Promise<void> {
  const writer = fifos.writer();
  try {
    for await (const chunk of from) await writer.write(chunk);
  } finally {
    writer.end();
    await task.closeStdin().catch(() => {});
  }
}
