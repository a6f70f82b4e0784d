/**
 * The addon: typed access to raw system calls and posix_spawn.
 *
 * "berth-sys.node" is found through BERTH_LIB, beside the executables, or in the build folder of a checkout. It is opened
 * by its absolute path: a Bun executable that embeds it would unpack it into /tmp at every start.
 */
import { BerthError, codeOfErrno } from "@berth/base";
import { type SyscallName, syscallNumber } from "./abi.ts";

/** Arguments of a system call: numbers, text (NUL is added), memory, or null (0). */
export type SyscallArg =
  | number
  | bigint
  | string
  | Uint8Array
  | BigUint64Array
  | BigInt64Array
  | Int32Array
  | null;

interface Addon {
  syscall(number: number, ...args: SyscallArg[]): number;
  syscallAsync(number: number, ...args: SyscallArg[]): Promise<number>;
  address(memory: Uint8Array): bigint;
  spawn(
    path: string,
    argv: readonly string[],
    env: readonly string[],
    fds: readonly number[],
    setsid: boolean,
  ): number;
}

let loaded: { addon: Addon; folder: string } | undefined;

/** Loads the addon from the first folder that has it: BERTH_LIB, ../lib/berth beside the program, the checkout's build. */
function load(): { addon: Addon; folder: string } {
  const program = process.execPath.replace(/\/[^/]*$/, "");
  const build = `${import.meta.dirname}/../../../build`;
  for (const folder of [process.env.BERTH_LIB, `${program}/../lib/berth`, program, build]) {
    if (!folder) continue;
    try {
      const module: { exports: Partial<Addon> } = { exports: {} };
      process.dlopen(module, `${folder}/berth-sys.node`);
      return { addon: module.exports as Addon, folder };
    } catch {
      // Try the next folder. Looking first would take a module of the engine's.
    }
  }
  throw new BerthError("failed_precondition", "berth-sys.node was not found in the program's lib/berth", {
    stage: "load",
    hint: "build it with `make build`, or point BERTH_LIB at the folder that holds it",
  });
}

/** Folder of the addon and of berth-init. */
export function libraryFolder(): string {
  loaded ??= load();
  return loaded.folder;
}

/** The addon, loaded on first use. */
export function addon(): Addon {
  loaded ??= load();
  return loaded.addon;
}

let names: Map<number, string> | undefined;

/** Symbolic name of an errno value, for instance "ENOENT" for 2. */
export function errnoName(value: number): string {
  if (names === undefined) {
    names = new Map();
    // Loaded late: most commands see no error.
    const { errno } = process.getBuiltinModule("node:os").constants;
    for (const [name, n] of Object.entries(errno)) if (!names.has(n)) names.set(n, name);
  }
  return names.get(value) ?? `errno ${value}`;
}

/** The error for a failed system call. */
export function syscallError(syscall: string, errno: number, path?: string): BerthError {
  const name = errnoName(errno);
  const facts = path === undefined ? { syscall, errno: name } : { syscall, errno: name, path };
  return new BerthError(
    codeOfErrno(name),
    `${syscall}${path === undefined ? "" : ` ${path}`}: ${name}`,
    facts,
  );
}

/** Makes a system call; returns the result or the negated errno. EINTR (-4) is retried. */
export function rawSyscall(name: SyscallName, ...args: SyscallArg[]): number {
  for (;;) {
    const result = addon().syscall(syscallNumber(name), ...args);
    if (result !== -4 || name === "close") return result;
  }
}

/** Makes a system call; on failure throws a BerthError with the call, the errno and `path`. */
export function syscall(name: SyscallName, path: string | undefined, ...args: SyscallArg[]): number {
  const result = rawSyscall(name, ...args);
  if (result < 0) throw syscallError(name, -result, path);
  return result;
}

/** {@link syscall} on a thread of the pool, for calls that may block. */
export async function syscallAsync(
  name: SyscallName,
  path: string | undefined,
  ...args: SyscallArg[]
): Promise<number> {
  for (;;) {
    const result = await addon().syscallAsync(syscallNumber(name), ...args);
    if (result === -4) continue;
    if (result < 0) throw syscallError(name, -result, path);
    return result;
  }
}
