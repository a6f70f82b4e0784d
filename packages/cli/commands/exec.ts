/** berth exec: an additional process in a running container. */
import { randomBytes } from "node:crypto";
import { BerthError, ignoreMissing } from "@berth/base";
import type { Container, Task, TaskProcess } from "@berth/client";
import { layersOf, readRootfsFile } from "@berth/client";
import type { Process } from "@berth/oci";
import { type Context, command } from "../command.ts";
import { environmentOf } from "../container/create-flags.ts";
import { CommandError, startExitCode } from "../errors.ts";
import { bool, type FlagValues, list, text, usageError } from "../flags.ts";

const FLAGS = {
  interactive: bool("Keep standard input open", "i"),
  tty: bool("Give it a terminal", "t"),
  detach: bool("Do not watch it", "d"),
  env: list("NAME[=VALUE]", "Set a variable; without a value, take berth's own", "e"),
  envFile: list("FILE", "Set variables from a file"),
  workdir: text("DIRECTORY", "Working directory", "w"),
  user: text("USER[:GROUP]", "Name or number of user and group", "u"),
  privileged: bool("All capabilities"),
  detachKeys: text("KEYS", 'Keys that leave it running (default "ctrl-p,ctrl-q")'),
} as const;

export default command({
  usage: "CONTAINER COMMAND [ARG...]",
  summary: "Run a command in a running container",
  flags: FLAGS,
  stopAtArgument: true,
  args: [2, Number.POSITIVE_INFINITY],
  async run(context, flags, [name, ...args]) {
    if (flags.tty && flags.interactive && !flags.detach && !process.stdin.isTTY)
      throw usageError("the input device is not a TTY: leave out -t, or call berth from a terminal");
    const client = await context.client();
    const container = await client.containers.find(name!);
    const task = await container.task();
    const status = (await task?.state())?.status;
    if (!task || status !== "running")
      throw new BerthError(
        "failed_precondition",
        `container ${container.name} is ${status === "paused" ? "paused" : "not running"}`,
        {
          hint: `${status === "paused" ? "berth unpause" : "berth start"} ${container.name} changes that.`,
        },
      );
    const spec = await processOf(context, container, flags, args);
    try {
      return flags.detach ? await detached(task, spec) : await attached(task, spec, flags);
    } catch (error) {
      throw new CommandError(BerthError.from(error), startExitCode(error));
    }
  },
});

async function processOf(
  context: Context,
  container: Container,
  flags: FlagValues<typeof FLAGS>,
  args: readonly string[],
): Promise<Process> {
  const oci = await import("@berth/oci");
  const own = container.spec().process;
  if (!own)
    throw new BerthError("failed_precondition", `container ${container.name} has no process to take after`);
  let user = own.user;
  const env = environmentOf(flags, context.env);
  if (flags.user !== undefined) {
    const client = await context.client();
    const mounts = container.snapshotKey === "" ? [] : await client.snapshots.mounts(container.snapshotKey);
    const layers = layersOf(mounts);
    const found = oci.resolveUser(
      flags.user,
      readRootfsFile(layers, "etc/passwd"),
      readRootfsFile(layers, "etc/group"),
    );
    user = { uid: found.uid, gid: found.gid, additionalGids: found.additionalGids };
    if (!oci.hasVariable(env, "HOME")) env.unshift(`HOME=${found.home}`);
  }
  if (flags.tty && !oci.hasVariable(own.env ?? [], "TERM")) env.unshift("TERM=xterm");
  const available = (await import("@berth/client")).availableCapabilities();
  const all = flags.privileged
    ? oci.chooseCapabilities({ privileged: true, ...(available ? { available } : {}) })
    : undefined;
  return {
    ...own,
    terminal: flags.tty,
    user,
    args: [...args],
    env: oci.mergeEnvironment(own.env ?? [], env),
    cwd: flags.workdir ?? own.cwd,
    ...(all ? { capabilities: { bounding: all, effective: [...all], permitted: [...all] } } : {}),
  };
}

async function detached(task: Task, spec: Process): Promise<number> {
  const io = { stdin: "", stdout: "", stderr: "", terminal: spec.terminal ?? false };
  const added = await task.exec(randomBytes(32).toString("hex"), spec, io);
  await startOrRemove(added);
  return 0;
}

async function attached(task: Task, spec: Process, flags: FlagValues<typeof FLAGS>): Promise<number> {
  const [{ Fifos }, { Attachment }] = await Promise.all([
    import("@berth/client"),
    import("../terminal/attach.ts"),
  ]);
  const { interactive: stdin, tty: terminal, detachKeys } = flags;
  await using fifos = await Fifos.create({ stdin, stdout: true, stderr: !terminal });
  const attachment = new Attachment(fifos, { stdin, terminal, detachKeys });
  try {
    const io = { stdin: fifos.stdin, stdout: fifos.stdout, stderr: fifos.stderr, terminal };
    const added = await task.exec(randomBytes(32).toString("hex"), spec, io);
    await startOrRemove(added, () => attachment.connect(added));
    const code = await attachment.wait(added);
    if (code === undefined) return 0;
    await ignoreMissing(added.delete());
    return code;
  } finally {
    attachment.close();
  }
}

async function startOrRemove(added: TaskProcess, connect?: () => Promise<void>): Promise<void> {
  try {
    // The daemon opens an additional process's FIFOs when it starts: only then may the held ends be closed.
    await added.start();
    await connect?.();
  } catch (error) {
    await ignoreMissing(added.delete()).catch(() => {});
    throw error;
  }
}
