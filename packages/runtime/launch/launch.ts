/** Runs berth-init with a plan, and follows its records until the process is set up. */
import { BerthError, log, recordStage } from "@berth/base";
import type { Sys } from "@berth/sys";
import { encodePlan } from "../plan/encode.ts";
import { MARKS } from "../plan/launch-plan.ts";
import type { Plan } from "../plan/operations.ts";
import { failureOf, inPlan } from "./failure.ts";
import { type InitRecord, RecordParser } from "./records.ts";

/** Options of {@link launch}. */
export interface LaunchOptions {
  plan: Plan;
  /** berth-init's first argument, shown by `ps`. */
  name: string;
  /** Its second argument, by which a later process can find the launch. */
  tag?: string;
  /** Descriptors 0 to 2 of berth-init (and of a process that inherits them). */
  stdio: readonly [number, number, number];
  /** Descriptors that become slots 0, 1, and so on. */
  inherited: readonly number[];
}

/** The processes of a launch. */
export interface Launched {
  /** Pid of the container's process; 0 for a plan without one. */
  pid: number;
  /** Pid of berth-init: the keeper, or a process that has exited or soon will. */
  initPid: number;
  /** Waits for the process to exit and returns its exit code (only for plans with parent "wait"). */
  exit(): Promise<number>;
}

const executables = new WeakMap<Sys, number>();

/**
 * Path of berth-init as a sealed copy in memory, made once per `sys`. A container that opens /proc/PID/exe cannot overwrite
 * the executable of later launches (CVE-2019-5736).
 */
function initExecutable(sys: Sys): string {
  let executable = executables.get(sys);
  if (executable === undefined) {
    executable = sys.sealedCopy("berth-init", `${sys.libraryFolder()}/berth-init`);
    executables.set(sys, executable);
  }
  return `/proc/self/fd/${executable}`;
}

/** Passes the stages timed by berth-init, whose clock is CLOCK_MONOTONIC, to `berth trace`. */
function recordMarks(sys: Sys, records: readonly InitRecord[], spawnedAt: number): void {
  const offset = sys.monotonicMs() - performance.now();
  const pid = records.find((r) => r.kind === "pid");
  if (pid !== undefined) recordStage("setup", {}, spawnedAt, pid.timeMs - offset);
  const marks = records.filter((r) => r.kind === "mark" || r.kind === "ready");
  marks.forEach((mark, i) => {
    const next = marks[i + 1];
    if (mark.kind !== "mark" || next === undefined) return;
    recordStage(MARKS[mark.a] ?? "init", {}, mark.timeMs - offset, next.timeMs - offset);
  });
}

/** Logs the failure of an optional operation: a warning if it concerns capabilities, as in runc, otherwise debug output. */
function warn(error: BerthError): void {
  if (error.syscall === "ambient") log.warn(error.message);
  else log.debug(error.message);
}

async function reap(sys: Sys, pid: number): Promise<void> {
  // It has sent its last record and is about to exit.
  for (let i = 0; i < 200 && sys.reap(pid) === undefined; i++) await sys.sleep(i < 20 ? 0 : 1);
}

/** Runs a plan up to "ready"; throws a BerthError that names the operation that failed. */
export async function launch(sys: Sys, options: LaunchOptions): Promise<Launched> {
  const { plan } = options;
  const planFd = sys.sealedFile("plan", encodePlan(plan));
  const [ours, theirs] = sys.socketPair();
  const spawnedAt = performance.now();
  const operations = Object.values(plan.sections).reduce((sum, section) => sum + section.length, 0);
  log.debug("starting berth-init", { name: options.name, operations, joins: plan.sections.join.length > 0 });
  let initPid: number;
  try {
    initPid = sys.spawn({
      path: initExecutable(sys),
      argv: ["berth-init", options.name, ...(options.tag === undefined ? [] : [options.tag])],
      env: [],
      fds: [...options.stdio, planFd, theirs, ...options.inherited],
    });
  } catch (error) {
    sys.close(ours);
    throw error;
  } finally {
    sys.close(planFd);
    sys.close(theirs);
  }
  const parser = new RecordParser();
  const seen: InitRecord[] = [];
  let pid = 0;
  // Waits for records; returns none only at the end of the stream.
  const next = async (): Promise<InitRecord[]> => {
    for (;;) {
      const bytes = await sys.read(ours, 8192);
      const records = bytes.length === 0 ? [] : parser.push(bytes);
      if (bytes.length === 0 || records.length > 0) return records;
    }
  };
  const fail = async (error: BerthError): Promise<never> => {
    sys.close(ours);
    await reap(sys, initPid);
    throw error;
  };
  for (;;) {
    const records = await next();
    if (records.length === 0) {
      return fail(
        new BerthError("internal", "the container's process ended before it was set up", {
          stage: "launch",
          hint: "look at `dmesg` for an out-of-memory kill, and at the seccomp profile: it must allow execve and what precedes it",
        }),
      );
    }
    seen.push(...records);
    for (const record of records) {
      if (record.kind === "pid") {
        pid = record.a;
        log.debug("berth-init has made the process", { pid, initPid });
      }
      if (record.kind === "failed") return fail(failureOf(record, inPlan(plan)));
      if (record.kind === "warning") warn(failureOf(record, inPlan(plan)));
    }
    if (records.some((r) => r.kind === "ready")) break;
  }
  log.debug(hasGate(plan) ? "the process is set up and waits for start" : "the process is set up", {
    pid,
    ms: Math.round(performance.now() - spawnedAt),
  });
  recordMarks(sys, seen, spawnedAt);
  const pending = seen.slice(seen.findIndex((r) => r.kind === "ready") + 1);
  if (plan.parent === "wait" || !plan.child || !hasGate(plan)) {
    return {
      pid,
      initPid,
      exit: () => follow(sys, ours, plan, next, pending, initPid, plan.parent === "wait"),
    };
  }
  sys.close(ours);
  if (plan.parent === "leave") await reap(sys, initPid);
  return {
    pid,
    initPid,
    exit: () =>
      Promise.reject(
        new BerthError("failed_precondition", "this process has a keeper, or nobody who waits for it"),
      ),
  };
}

/** Whether the plan waits at the gate once it is ready; otherwise exec follows at once. */
function hasGate(plan: Plan): boolean {
  return plan.sections.child.some((op) => op.name === "wait_fifo");
}

/** The error for an exit code that was lost, which must not be reported as success. */
function exitUnknown(): BerthError {
  return new BerthError("internal", "berth-init ended without telling how the container's process did", {
    stage: "launch",
    hint: "look at `dmesg`: something killed it",
  });
}

/** Follows records until the process has executed its program (end of stream) or exited (an exit record). */
async function follow(
  sys: Sys,
  fd: number,
  plan: Plan,
  next: () => Promise<InitRecord[]>,
  pending: InitRecord[],
  initPid: number,
  forExit: boolean,
): Promise<number> {
  let code = 0;
  try {
    for (let records = pending; ; records = await next()) {
      for (const record of records) {
        if (record.kind === "failed") throw failureOf(record, inPlan(plan));
        if (record.kind === "exit") code = record.a;
      }
      if (records !== pending && records.length === 0) {
        if (forExit) throw exitUnknown();
        return code;
      }
      if (forExit && records.some((r) => r.kind === "exit")) return code;
    }
  } finally {
    sys.close(fd);
    // A keeper stays; any other berth-init exits now.
    if (plan.parent !== "keep") await reap(sys, initPid);
  }
}
