/** Running a command in a container of its own, from creation to removal. */

import { LABEL } from "@berth/api/labels";
import { ignoreMissing, SIGKILL } from "@berth/base";
import type { CallOptions } from "@berth/rpc";
import { Fifos } from "../stdio.ts";
import type { Task } from "../tasks.ts";
import { attachedIO } from "./attached-io.ts";
import type { CreateContainer } from "./create.ts";
import type { ContainerHost } from "./host.ts";

/** Receives a chunk of output; the container's process blocks while this is slow. */
export type OnOutput = (chunk: Uint8Array) => unknown;

/** A command to run. Its output goes to the container's log and to these callbacks. */
export interface RunContainer extends Omit<CreateContainer, "autoRemove" | "restart" | "openStdin"> {
  stdin?: AsyncIterable<Uint8Array>;
  onStdout?: OnOutput;
  /** With `terminal`, all output is standard output. */
  onStderr?: OnOutput;
}

/** Result of a run. */
export interface RunResult {
  /** Exit code, or 128 + signal. */
  code: number;
  /** Id of the removed container. */
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
    // Reading begins before the daemon opens the FIFOs, so that no output is missed.
    const outputs = [copy(fifos.read(fifos.stdout), onStdout)];
    if (!terminal) outputs.push(copy(fifos.read(fifos.stderr), onStderr));
    const io = attachedIO(container.labels[LABEL.logPath]!, terminal, fifos);
    // A callback that throws ends the run: the process would wait for a reader forever.
    const refused = new Promise<never>((_, reject) => {
      for (const output of outputs) output.catch(reject);
    });
    refused.catch(() => {});
    const task = await container.startTask(io, undefined, call);
    const input = stdin === undefined ? undefined : send(stdin, fifos, task);
    // Aborted with the rest; a process that no longer reads is not an error.
    input?.catch(() => {});
    const { code } = await Promise.race([ended(task, call), refused]);
    // The process has exited: now its output can reach end of file.
    fifos.release();
    await Promise.all(outputs);
    await ignoreMissing(container.remove());
    return { code, id };
  } catch (error) {
    await ignoreMissing(container.remove({ force: true })).catch(() => {});
    // Whatever failed first, the caller's reason describes an abort best.
    throw call.signal?.aborted ? call.signal.reason : error;
  }
}

/** Waits for a process to exit, across restarts of the daemon; kills it first when the caller aborts. */
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
