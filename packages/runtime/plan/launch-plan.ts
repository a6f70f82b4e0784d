/** The parts of a plan shared by create and exec: streams, terminal, and the last steps up to exec. */
import { BerthError } from "@berth/base";
import type { Linux, Process, State } from "@berth/oci";
import { DEFAULT_PATH, linux } from "@berth/sys";
import type { PlanBuilder } from "./builder.ts";
import { planIdentity, planRlimits } from "./identity.ts";
import { deniesSetgroups, type Owner } from "./namespaces.ts";
import { NO_PROGRAM } from "./operations.ts";
import { planScheduling } from "./scheduling.ts";
import { planSeccomp, type SeccompFilter } from "./seccomp.ts";
import { type KeeperPlan, planKeeper, planNullStreams, planStdio, planStdioOwner } from "./streams.ts";

const utf8 = new TextEncoder();

/** Stages timed by berth-init, in order; the argument of a `mark` operation is an index into this list. */
export const MARKS = ["namespaces", "mounts", "root", "process"] as const;

/** What the process's standard streams or terminal are attached to. */
export type Attachment =
  /** The caller's own descriptors 0 to 2. */
  | { kind: "inherit" }
  /** A keeper's FIFOs, files or log. */
  | { kind: "keeper"; keeper: KeeperPlan }
  /** A terminal whose master is sent to the socket in this inherited slot. */
  | { kind: "console-socket"; slot: number }
  /** A terminal that berth-init relays to the caller's, in these inherited slots. */
  | { kind: "foreground"; input: number; output: number };

/** Inputs shared by the plans of create and exec. */
export interface LaunchInput {
  process: Process;
  attachment: Attachment;
  /** Wait for the process to exit, and report its exit code (`run` in the foreground). */
  wait: boolean;
  /** Inherited slots that become the process's descriptors 3, 4, and so on. */
  preserved: readonly number[];
  /** Which of descriptors 0 to 2 are the null device; they are replaced by the container's /dev/null. */
  nullStreams?: readonly number[];
  /** Inherited slot of a unix socket to send the process's pidfd to. */
  pidfdSocket?: number;
  /** Total number of inherited descriptors. */
  inherited: number;
  seccomp: SeccompFilter | undefined;
  /** The container's state for hooks and the seccomp agent; without a pid if that is the new process's. */
  state: State;
  /** `linux` of the container's config.json, parts of which apply to every process. */
  linux: Linux;
  /** The user that runs berth. */
  owner: Owner;
  /** FIFO to wait on before exec, and the file for failures after that; undefined to execute at once. */
  gate: { fifo: string; report: string } | undefined;
  noNewKeyring: boolean;
}

function lookupEnv(env: readonly string[], name: string): string | undefined {
  return env.findLast((v) => v.startsWith(`${name}=`))?.slice(name.length + 1);
}

/** Normalizes the environment: the last value of a duplicate name wins, and an empty HOME is dropped. */
function normalizeEnv(env: readonly string[]): string[] {
  const byName = new Map(env.map((entry) => [entry.split("=", 1)[0]!, entry]));
  if (byName.get("HOME") === "HOME=") byName.delete("HOME");
  return [...byName.values()];
}

/** Adds the attachment; returns the slots of descriptors 0 to 2 (empty if they are inherited or a terminal). */
export function planAttachment(b: PlanBuilder, input: LaunchInput): number[] {
  const { attachment } = input;
  if (input.pidfdSocket !== undefined)
    b.stage("launch").add("after", "send the process's pidfd to its socket", "send_pidfd", [
      input.pidfdSocket,
      "pidfd",
    ]);
  b.stage("console");
  if (attachment.kind === "keeper")
    return planKeeper(b, attachment.keeper, input.process.terminal ? "process" : "none");
  if (input.wait) b.parent = "wait";
  if (attachment.kind === "console-socket")
    b.add("after", "send the terminal to the console socket", "send_console", [attachment.slot]);
  if (attachment.kind === "foreground")
    b.add("after", "relay the terminal", "relay", [attachment.input, attachment.output, 1, 1]);
  return [];
}

/** Ignored errors of the terminal's chown: not permitted, or a user without a mapping. */
const IGNORED_CHOWN_ERRORS = [linux.EPERM, linux.EINVAL] as const;

/** Adds the process's terminal, allocated in the devpts below `root`. */
export function planConsole(b: PlanBuilder, process: Process, root: number, onDevConsole: boolean): void {
  if (!process.terminal) return;
  b.stage("console");
  const size = process.consoleSize;
  b.add("child", "make its terminal", "console", [
    root,
    size?.width ?? 0,
    size?.height ?? 0,
    process.user.uid,
    onDevConsole ? 1 : 0,
    ...IGNORED_CHOWN_ERRORS,
  ]);
}

/**
 * Adds the process's descriptors: streams and preserved ones; all others are closed. Comes before the seccomp filter, which
 * may not know close_range(2).
 */
function planDescriptors(b: PlanBuilder, input: LaunchInput, stdio: readonly number[]): void {
  planStdio(b, stdio);
  planNullStreams(b, input.nullStreams ?? []);
  const { terminal, user } = input.process;
  // A terminal has been given to the user, and root may open everything.
  if (!terminal && user.uid !== 0) planStdioOwner(b, user.uid);
  input.preserved.forEach((slot, i) => {
    b.add("child", `pass on descriptor ${3 + i}`, "dup", [slot, 3 + i]);
  });
  b.add("child", "close all other descriptors at exec", "close_range", [3 + input.preserved.length]);
}

/** Where HOME is looked up, the maximum size of that file in bytes, and the default. */
const PASSWD = ["/etc/passwd", 16 << 20, "/"] as const;

/** Adds the end of every plan: from looking up the program to exec. */
function planExec(b: PlanBuilder, input: LaunchInput, beforeReady: () => void, beforeExec: () => void): void {
  const { process } = input;
  const argv = process.args ?? [];
  // The specification allows creating a container without a process; its start fails.
  const noProgram = argv.length === 0 && process.args === undefined && input.gate !== undefined;
  if (argv.length === 0 && !noProgram) {
    throw new BerthError(
      "invalid_argument",
      "process.args: found no arguments, expected the program to run",
      { stage: "exec" },
    );
  }
  const env = normalizeEnv(process.env ?? []);
  b.stage("exec");
  if (lookupEnv(env, "HOME") === undefined)
    b.add("child", "find the home folder in /etc/passwd", "home", [process.user.uid, ...PASSWD]);
  const path = lookupEnv(env, "PATH") ?? DEFAULT_PATH;
  if (!noProgram) b.add("child", `find ${argv[0]}`, "lookup", [argv[0]!, path]);
  beforeReady();
  b.stage("exec");
  if (input.gate !== undefined) {
    const fifo = b.slot();
    const report = b.slot();
    b.add("setup", `open the exec FIFO ${input.gate.fifo}`, "open", [
      fifo,
      input.gate.fifo,
      linux.O_NONBLOCK,
      0,
    ]);
    b.add("setup", `open ${input.gate.report}`, "open", [
      report,
      input.gate.report,
      linux.O_WRONLY | linux.O_CREAT | linux.O_TRUNC,
      0o600,
    ]);
    b.add("child", "say that all is set up", "ready", []);
    b.add("child", "report to start from now on", "report_to", [report]);
    b.add("child", "wait for start", "wait_fifo", [fifo]);
  } else {
    b.add("child", "say that all is set up", "ready", []);
  }
  beforeExec();
  b.stage("exec");
  if (noProgram) b.add("child", NO_PROGRAM, "lookup", ["", path]);
  b.add("child", `execute ${argv.join(" ")}`, "exec", [
    Math.max(1, argv.length),
    ...(noProgram ? [""] : argv),
    ...env,
  ]);
}

function planKeyring(b: PlanBuilder, id: string): void {
  // Optional: with ENOSYS or EDQUOT there is no keyring that could leak.
  b.stage("security").add("child", "leave the host's session keyring", "keyring", [`_ses.${id}`], {
    optional: true,
  });
}

/** Adds the process's oom_score_adj. */
export function planOomScore(b: PlanBuilder, process: Process): void {
  const adjustment = process.oomScoreAdj;
  if (adjustment === undefined) return;
  // Optional: lowering it needs CAP_SYS_RESOURCE, which berth may lack in a restricted environment.
  b.stage("process").add(
    "attach",
    `set oom_score_adj to ${adjustment}`,
    "write_child",
    ["oom_score_adj", utf8.encode(String(adjustment))],
    { optional: true },
  );
}

/** Adds the first steps of the new process: root of its user namespace, a session and a session keyring of its own. */
export function planSession(b: PlanBuilder, input: LaunchInput, id: string, userNamespace: boolean): void {
  b.stage("namespaces");
  if (userNamespace) {
    b.add("child", "become root of the user namespace", "setgid", [0]);
    b.add("child", "become root of the user namespace", "setuid", [0]);
  }
  b.add("child", "lead a session of its own", "setsid", []);
  if (!input.noNewKeyring) planKeyring(b, id);
}

/** Adds the terminal of an added process, in the container's devpts. */
export function planConsoleInPlace(b: PlanBuilder, process: Process): void {
  if (!process.terminal) return;
  const root = b.slot();
  b.stage("console").add("child", "open /", "open", [root, "/", linux.O_PATH, 0]);
  planConsole(b, process, root, false);
}

/** Adds the last steps, from scheduling and limits to exec. `hooks` adds the hooks between the gate and exec. */
export function planProcess(
  b: PlanBuilder,
  input: LaunchInput,
  stdio: readonly number[],
  hooks: () => void,
): void {
  const { process, seccomp, linux } = input;
  b.stage("process");
  b.add("child", "continue with the process", "mark", [MARKS.indexOf("process")]);
  planScheduling(b, process, linux.memoryPolicy);
  planRlimits(b, process);
  b.add("child", `change to ${process.cwd}`, "chdir", [process.cwd]);
  planDescriptors(b, input, stdio);
  // Loading a filter needs CAP_SYS_ADMIN unless noNewPrivileges is set. If it is, the filter is loaded last, so that it need
  // not allow the set-up; one with a listener is loaded before "ready", as the parent fetches the listener before it exits.
  const addFilter = (when: boolean) => {
    if (seccomp !== undefined && when) planSeccomp(b, seccomp, input.state);
  };
  const late = process.noNewPrivileges === true;
  const hasListener = seccomp?.listener !== undefined;
  planIdentity(b, process, {
    personality: linux.personality,
    setgroupsDenied: deniesSetgroups(linux, input.owner),
    filter: () => addFilter(!late),
  });
  planExec(
    b,
    input,
    () => addFilter(late && hasListener),
    () => {
      addFilter(late && !hasListener);
      hooks();
    },
  );
}
