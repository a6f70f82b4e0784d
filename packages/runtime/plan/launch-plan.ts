/** What the plans of a container's first process and of an added one have in common: streams, terminal, the last steps. */
import { BerthError } from "@berth/base";
import type { Linux, Process, State } from "@berth/oci";
import { linux } from "@berth/sys";
import type { PlanBuilder } from "./builder.ts";
import { planIdentity, planRlimits } from "./identity.ts";
import { deniesSetgroups, type Owner } from "./namespaces.ts";
import { NO_PROGRAM } from "./operations.ts";
import { planScheduling } from "./scheduling.ts";
import { planSeccomp, type SeccompFilter } from "./seccomp.ts";
import { type KeeperPlan, planKeeper, planNullStreams, planStdio } from "./streams.ts";

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const utf8 = new TextEncoder();

/** Stages inside berth-init, in order; a `mark` operation's argument is an index into this list. */
export const MARKS = ["namespaces", "mounts", "root", "process"] as const;

/** Who talks to the process. */
export type Attachment =
  /** The caller's own descriptors 0 to 2. */
  | { kind: "inherit" }
  /** A keeper's FIFOs, files or log. */
  | { kind: "keeper"; keeper: KeeperPlan }
  /** A terminal whose master goes to the socket in this inherited slot. */
  | { kind: "console-socket"; slot: number }
  /** A terminal that berth-init relays to the caller's own, in these inherited slots. */
  | { kind: "foreground"; input: number; output: number };

/** What is common to a container's first process and one that is added. */
export interface LaunchInput {
  process: Process;
  attachment: Attachment;
  /** Stay until the process ends and report its exit (`run` in the foreground). */
  wait: boolean;
  /** Inherited slots that become the process's descriptors 3 and following. */
  preserved: readonly number[];
  /** Those of descriptors 0 to 2 that are the null device: they become the container's own, as nothing in it may be the host's. */
  nullStreams?: readonly number[];
  /** Inherited slot of a unix socket that gets the process's pidfd. */
  pidfdSocket?: number;
  /** Number of inherited descriptors, all told. */
  inherited: number;
  seccomp: SeccompFilter | undefined;
  /** The container's state, as its seccomp agent is told; without a pid where that is the new process's. */
  state: State;
  /** linux of the container's config.json: some of it goes for every process. */
  linux: Linux;
  /** Who runs berth. */
  owner: Owner;
  /** FIFO to wait on before exec, and the file that takes what fails from there on; none: exec at once. */
  gate: { fifo: string; report: string } | undefined;
  noNewKeyring: boolean;
}

function variable(env: readonly string[], name: string): string | undefined {
  return env.findLast((v) => v.startsWith(`${name}=`))?.slice(name.length + 1);
}

/** The environment as the program gets it: of a name set twice the last value, and no empty HOME. */
function tidyEnv(env: readonly string[]): string[] {
  const byName = new Map(env.map((entry) => [entry.split("=", 1)[0]!, entry]));
  if (byName.get("HOME") === "HOME=") byName.delete("HOME");
  return [...byName.values()];
}

/** Sets up who talks to the process; returns the slots of descriptors 0 to 2 (none: inherited, or a terminal). */
export function planAttachment(b: PlanBuilder, input: LaunchInput): number[] {
  const { attachment } = input;
  if (input.pidfdSocket !== undefined)
    b.stage("launch").add("after", "send the process's pidfd to its socket", "send_pidfd", [
      input.pidfdSocket,
      "pidfd",
    ]);
  b.stage("console");
  if (attachment.kind === "keeper") return planKeeper(b, attachment.keeper, input.process.terminal === true);
  if (input.wait) b.parent = "wait";
  if (attachment.kind === "console-socket")
    b.add("after", "send the terminal to the console socket", "send_console", [attachment.slot]);
  if (attachment.kind === "foreground")
    b.add("after", "relay the terminal", "relay", [attachment.input, attachment.output, 1]);
  return [];
}

/** Errors of a chown that is not permitted, or to a user without mapping: the terminal keeps its owner. */
const UNCHANGEABLE = [linux.EPERM, linux.EINVAL] as const;

/** The terminal of a process, made in the devpts below `root`. */
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
    ...UNCHANGEABLE,
  ]);
}

/**
 * The process's descriptors: its streams, those it is passed, and no other. Before the seccomp filter, which may be
 * older than close_range(2).
 */
function planDescriptors(b: PlanBuilder, input: LaunchInput, stdio: readonly number[]): void {
  planStdio(b, stdio);
  planNullStreams(b, input.nullStreams ?? []);
  input.preserved.forEach((slot, i) => {
    b.add("child", `pass on descriptor ${3 + i}`, "dup", [slot, 3 + i]);
  });
  b.add("child", "close all other descriptors at exec", "close_range", [3 + input.preserved.length]);
}

/** The list of home folders, its largest size, and the home of users that are not listed. */
const PASSWD = ["/etc/passwd", 16 << 20, "/"] as const;

/** The end of every plan: from looking for the program to exec. */
function planExec(b: PlanBuilder, input: LaunchInput, beforeReady: () => void, beforeExec: () => void): void {
  const { process } = input;
  const argv = process.args ?? [];
  // A bundle without a process can be created, says the specification; it cannot be started.
  const later = argv.length === 0 && process.args === undefined && input.gate !== undefined;
  if (argv.length === 0 && !later) {
    throw new BerthError(
      "invalid_argument",
      "process.args: found no arguments, expected the program to run",
      { stage: "exec" },
    );
  }
  const env = tidyEnv(process.env ?? []);
  b.stage("exec");
  if (variable(env, "HOME") === undefined)
    b.add("child", "find the home folder in /etc/passwd", "home", [process.user.uid, ...PASSWD]);
  const path = variable(env, "PATH") ?? DEFAULT_PATH;
  if (!later) b.add("child", `find ${argv[0]}`, "lookup", [argv[0]!, path]);
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
  if (later) b.add("child", NO_PROGRAM, "lookup", ["", path]);
  b.add("child", `execute ${argv.join(" ")}`, "exec", [
    Math.max(1, argv.length),
    ...(later ? [""] : argv),
    ...env,
  ]);
}

function planKeyring(b: PlanBuilder, id: string, wanted: boolean): void {
  // ENOSYS or EDQUOT: a host without keys has none to leak.
  if (wanted)
    b.stage("security").add("child", "leave the host's session keyring", "keyring", [`_ses.${id}`], {
      optional: true,
    });
}

/** Adds the process's badness for the out-of-memory killer. */
export function planOomScore(b: PlanBuilder, process: Process): void {
  const adjustment = process.oomScoreAdj;
  if (adjustment === undefined) return;
  // Lowering it needs CAP_SYS_RESOURCE, which a restricted host does not give: worth a warning, not a failure.
  b.stage("process").add(
    "attach",
    `set oom_score_adj to ${adjustment}`,
    "write_child",
    ["oom_score_adj", utf8.encode(String(adjustment))],
    { optional: true },
  );
}

/** Adds the first steps of the new process: root of its user namespace, leader of a session, without the host's keys. */
export function planSession(b: PlanBuilder, input: LaunchInput, id: string, userNamespace: boolean): void {
  b.stage("namespaces");
  if (userNamespace) {
    b.add("child", "become root of the user namespace", "setgid", [0]);
    b.add("child", "become root of the user namespace", "setuid", [0]);
  }
  b.add("child", "lead a session of its own", "setsid", []);
  planKeyring(b, id, !input.noNewKeyring);
}

/** Adds the terminal of a process that makes no root of its own. */
export function planConsoleInPlace(b: PlanBuilder, process: Process): void {
  if (!process.terminal) return;
  const root = b.slot();
  b.stage("console").add("child", "open /", "open", [root, "/", linux.O_PATH, 0]);
  planConsole(b, process, root, false);
}

/** Adds the last steps, from limits to exec. `hooks` go between being let go and executing. */
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
  // Loading a filter takes CAP_SYS_ADMIN unless noNewPrivileges is set: then it can be the very last thing, but for one
  // with a listener, which the parent has to fetch before it leaves.
  const filter = (when: boolean) => {
    if (seccomp !== undefined && when) planSeccomp(b, seccomp, input.state);
  };
  const late = process.noNewPrivileges === true;
  const listened = seccomp?.listener !== undefined;
  planIdentity(b, process, {
    personality: linux.personality,
    setgroupsDenied: deniesSetgroups(linux, input.owner),
    filter: () => filter(!late),
  });
  planExec(
    b,
    input,
    () => filter(late && listened),
    () => {
      filter(late && !listened);
      hooks();
    },
  );
}
