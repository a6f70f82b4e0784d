/**
 * Loaded into berthd before its own code (`node --import`): kills it at a step chosen by the test.
 *
 * A step is a stage of the trace that begins or ends, or a call that is about to change something outside the
 * process: a system call of the addon, a function of node:fs, a commit of the database, a spawned process. Killed
 * before each of them in turn, and once after the last, the daemon leaves every state that it can leave.
 *
 * The test sends messages over the IPC channel: `{ record: FILE }` records the steps from now on, `{ at: N, delay }`
 * kills at the Nth from now on (`delay` microseconds after it, for a spawned process that works on), `{}` does
 * neither. Layer workers are threads of their own that load this too: their shared state is in one piece of memory.
 */
import { channel } from "node:diagnostics_channel";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { DatabaseSync } from "node:sqlite";
import { getEnvironmentData, isMainThread, setEnvironmentData } from "node:worker_threads";
import type { StageEvent } from "../../packages/base/trace.ts";
import { syscallNumber } from "../../packages/sys/linux/abi.ts";

const KEY = "berth-killer";
const [MODE, COUNT, AT, DELAY] = [0, 1, 2, 3];
const [IDLE, RECORD, KILL] = [0, 1, 2];

if (isMainThread) setEnvironmentData(KEY, new SharedArrayBuffer(16));
const shared = new Int32Array(getEnvironmentData(KEY) as SharedArrayBuffer);
const file = process.env.BERTH_TEST_STEPS;
const { openSync, writeSync } = fs;
let log: number | undefined;
let inside = false;

function die(): void {
  process.kill(process.pid, "SIGKILL");
  // The signal arrives before this thread executes another instruction; nothing may follow it in any case.
  for (;;) Atomics.wait(shared, MODE, KILL, 1000);
}

/** A step is about to happen. */
function step(name: string): void {
  const mode = Atomics.load(shared, MODE);
  if (mode === IDLE || inside) return;
  const n = Atomics.add(shared, COUNT, 1) + 1;
  if (mode === RECORD) {
    inside = true;
    log ??= openSync(file!, "a");
    writeSync(log, `${n} ${name}\n`);
    inside = false;
  } else if (n === Atomics.load(shared, AT) && Atomics.load(shared, DELAY) < 0) die();
}

/** Something asynchronous has begun: killed at once, or a little later. */
function began(): void {
  if (Atomics.load(shared, MODE) !== KILL || Atomics.load(shared, DELAY) < 0) return;
  if (Atomics.load(shared, COUNT) !== Atomics.load(shared, AT)) return;
  const until = performance.now() + Atomics.load(shared, DELAY) / 1000;
  while (performance.now() < until);
  die();
}

/** System calls that change nothing outside the process, or only attributes of a file created by an earlier call. */
const READS: ReadonlySet<number> = new Set(
  (
    [
      ...([
        "read",
        "close",
        "recvmsg",
        "wait4",
        "lgetxattr",
        "fgetxattr",
        "llistxattr",
        "flistxattr",
      ] as const),
      ...(["readlinkat", "prlimit64", "getdents64", "faccessat", "statx", "ppoll", "pidfd_open"] as const),
      ...(["fchmod", "fchown", "fchmodat", "fchownat", "utimensat"] as const),
      ...(["socket", "pipe2", "socketpair", "fcntl", "ioctl", "memfd_create", "eventfd2"] as const),
    ] as const
  ).map(syscallNumber),
);
/** The frequent ones, for the list of steps. */
const NAMES: ReadonlyMap<number, string> = new Map(
  (
    [
      "write",
      "openat",
      "renameat2",
      "mkdirat",
      "mknodat",
      "unlinkat",
      "sendmsg",
      "pidfd_send_signal",
    ] as const
  ).map((name) => [syscallNumber(name), name]),
);
const OPENAT = syscallNumber("openat");
const OPENAT2 = syscallNumber("openat2");
const WRITES = fs.constants.O_CREAT | fs.constants.O_TRUNC;

/** Opening an existing file, or for reading, changes nothing; its writes will. */
function changes(number: number, args: readonly unknown[]): boolean {
  if (READS.has(number)) return false;
  if (number === OPENAT) return (Number(args[2]) & WRITES) !== 0;
  if (number === OPENAT2) return (Number((args[2] as BigUint64Array)[0]) & WRITES) !== 0;
  return true;
}

interface Addon {
  syscall(number: number, ...args: unknown[]): number;
  syscallAsync(number: number, ...args: unknown[]): Promise<number>;
  spawn(path: string, ...args: unknown[]): number;
}

const dlopen = process.dlopen;
process.dlopen = (module: object, ...rest: [string, number?]) => {
  (dlopen as (...args: unknown[]) => void).call(process, module, ...rest);
  const loaded = module as { exports: Addon };
  const { exports } = loaded;
  if (typeof exports.syscallAsync !== "function") return;
  const about = (number: number, args: readonly unknown[]) => {
    if (!changes(number, args)) return;
    const text = args.find((arg) => typeof arg === "string");
    step(`${NAMES.get(number) ?? `syscall ${number}`}${text === undefined ? "" : ` ${text}`}`);
  };
  loaded.exports = {
    ...exports,
    syscall: (number, ...args) => {
      about(number, args);
      return exports.syscall(number, ...args);
    },
    syscallAsync: (number, ...args) => {
      about(number, args);
      return exports.syscallAsync(number, ...args);
    },
    spawn: (path, ...args) => {
      step(`spawn ${path}`);
      const pid = exports.spawn(path, ...args);
      began();
      return pid;
    },
  };
};

type Named = Record<string, (...args: unknown[]) => unknown>;
const CHANGES =
  /^(write|writev|rename|rm|rmdir|unlink|mkdir|mkdtemp|link|symlink|truncate|ftruncate|fsync|fdatasync|chmod|fchmod|lchmod|chown|fchown|lchown|utimes|futimes|lutimes|copyFile|cp|appendFile|writeFile)(Sync)?$/;
function wrap(owner: Named, prefix: string): void {
  for (const [name, real] of Object.entries(owner)) {
    const opens = /^open(Sync)?$/.test(name);
    if (typeof real !== "function" || !(opens || CHANGES.test(name))) continue;
    owner[name] = Object.assign(function (this: unknown, ...args: unknown[]) {
      const flags = args[1];
      if (
        !opens ||
        (typeof flags === "number" ? flags & WRITES : typeof flags === "string" && /[wax+]/.test(flags))
      )
        step(`${prefix}${name}${typeof args[0] === "string" ? ` ${args[0]}` : ""}`);
      return real.apply(this, args);
    }, real);
  }
}
wrap(fs as unknown as Named, "fs.");
wrap(fs.promises as unknown as Named, "fs.promises.");
syncBuiltinESMExports();

const { exec } = DatabaseSync.prototype;
DatabaseSync.prototype.exec = function (this: DatabaseSync, sql: string) {
  // Uncommitted changes are not persistent: only the commit counts.
  if (sql === "COMMIT") step("commit");
  return exec.call(this, sql);
};

if (isMainThread) {
  const stages = channel("berth:stage");
  stages.subscribe((message) => {
    const { kind, stage } = message as StageEvent;
    step(`${kind} ${stage.name}`);
  });
  // An unreferenced channel would be collected.
  (globalThis as { berthStages?: unknown }).berthStages = stages;
  process.on("message", (message: { record?: boolean; at?: number; delay?: number }) => {
    Atomics.store(shared, COUNT, 0);
    Atomics.store(shared, AT, message.at ?? 0);
    Atomics.store(shared, DELAY, message.delay ?? -1);
    Atomics.store(shared, MODE, message.record ? RECORD : message.at ? KILL : IDLE);
    process.send!({ armed: true });
  });
  // A killed test leaves no daemon.
  process.on("disconnect", () => process.exit(1));
  process.channel?.unref();
}
