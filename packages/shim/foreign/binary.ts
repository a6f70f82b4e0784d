/** Calls of a shim's program: `start` prints the address of its Task service, `delete` cleans up after a dead shim. */
import { task3 } from "@berth/api";
import { type RuntimeInfo, RuntimeInfoSchema } from "@berth/api/runtimeTypes";
import { nanoseconds } from "@berth/api/time";
import { BerthError, systemClock } from "@berth/base";
import { findProgram, type RunOptions, type Sys } from "@berth/sys";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import type { Exit } from "../contract/task-shim.ts";

const CALL_MS = 30_000;
const MAX_OUTPUT = 64 << 10;
/** Newest version of the Task service that is supported. */
const MAX_VERSION = 3;

const text = new TextDecoder();

/** Where a shim serves its Task service. */
export interface ShimAddress {
  /** Version of the Task service: 2 or 3. */
  version: number;
  address: string;
}

/** Parameters of every call. */
export interface ShimCall {
  /** Absolute path of the shim's executable. */
  program: string;
  namespace: string;
  id: string;
  bundle: string;
  /** The daemon's sockets: its API, and its events service. */
  address: string;
  ttrpcAddress: string;
  /** Absolute path of a program that takes containerd's command `publish`. */
  publishBinary: string;
}

/** File name of a runtime's shim: containerd-shim-runc-v2 for "io.containerd.runc.v2". */
export function shimName(runtime: string): string {
  const parts = runtime.split(".");
  const [name, version] = parts.slice(-2);
  if (parts.length < 2 || !/^[\w-]+$/.test(name!) || !/^[\w-]+$/.test(version!))
    throw new BerthError(
      "invalid_argument",
      `runtime: found ${JSON.stringify(runtime)}, expected a name as io.containerd.runc.v2, or the absolute path of a shim`,
      { stage: "runtime" },
    );
  return `containerd-shim-${name}-${version}`;
}

const isAbsolute = (path: string) => path.startsWith("/");

/** Finds a runtime's shim: an absolute path, or a program in PATH. */
export function findShim(sys: Sys, runtime: string): string {
  const name = isAbsolute(runtime) ? runtime : shimName(runtime);
  const found = isAbsolute(runtime)
    ? sys.executable(runtime)
      ? runtime
      : undefined
    : findProgram(sys, name);
  if (found !== undefined) return found;
  throw new BerthError("not_found", `runtime ${JSON.stringify(runtime)}: found no program ${name}`, {
    stage: "runtime",
    hint: isAbsolute(runtime) ? "correct the path" : "install it into a folder of berthd's PATH",
  });
}

function call(
  sys: Sys,
  shim: ShimCall,
  action: "start" | "delete",
  more: readonly string[],
): Promise<Uint8Array> {
  const { namespace, id, address, ttrpcAddress, program, publishBinary } = shim;
  const args = ["-namespace", namespace, "-address", address, "-publish-binary", publishBinary, "-id", id];
  // Nothing on standard input: shims disagree on its format, and all of them take their options from Create.
  return output(sys, action, {
    path: program,
    args: [...args, ...more, action],
    cwd: shim.bundle,
    env: {
      ...sys.environment(),
      GOMAXPROCS: "2",
      MAX_SHIM_VERSION: String(MAX_VERSION),
      TTRPC_ADDRESS: ttrpcAddress,
      GRPC_ADDRESS: address,
      NAMESPACE: namespace,
    },
  });
}

/** Runs a shim's program; returns its output. */
async function output(
  sys: Sys,
  action: string,
  options: Omit<RunOptions, "timeoutMs" | "maxOutput">,
): Promise<Uint8Array> {
  const { code, signal, stdout, stderr, truncated } = await sys.run({
    ...options,
    timeoutMs: CALL_MS,
    maxOutput: MAX_OUTPUT,
  });
  const failed = (what: string) =>
    new BerthError("internal", `${options.path} ${action}: ${what}`, {
      stage: "runtime",
      path: options.path,
    });
  if (truncated) throw failed(`answered more than ${MAX_OUTPUT} bytes`);
  if (code !== 0) {
    const output = (text.decode(stderr) + text.decode(stdout)).trim();
    const how = signal === undefined ? `exit code ${code}` : `killed by ${signal}`;
    throw failed(`${how}${output ? `: ${output}` : ""}`);
  }
  return stdout;
}

/** Parses the output of `start`: JSON, or a bare address (version 2). */
export function parseAddress(output: string): ShimAddress {
  const refuse = (what: string) =>
    new BerthError("unimplemented", `the shim answered ${what}`, { stage: "runtime" });
  const line = output.trim();
  if (!line.startsWith("{")) return { version: 2, address: line };
  const { version, address, protocol } = JSON.parse(line) as Partial<Record<string, unknown>>;
  if (typeof version !== "number" || version < 2 || version > MAX_VERSION)
    throw refuse(`version ${version}, expected 2 to ${MAX_VERSION}`);
  if (protocol !== "ttrpc") throw refuse(`protocol ${JSON.stringify(protocol)}, expected "ttrpc"`);
  if (typeof address !== "string") throw refuse("no address");
  return { version, address };
}

/** Starts a shim, or finds the one that serves the container's group already. */
export async function startShim(sys: Sys, shim: ShimCall): Promise<ShimAddress> {
  return parseAddress(text.decode(await call(sys, shim, "start", [])));
}

/** A foreign runtime's description of itself, for these options. */
export async function foreignRuntimeInfo(
  sys: Sys,
  runtime: string,
  options: Any | undefined,
): Promise<RuntimeInfo> {
  const path = findShim(sys, runtime);
  const input = options === undefined ? new Uint8Array() : toBinary(AnySchema, options);
  const printed = await output(sys, "-info", {
    path,
    args: ["-info"],
    cwd: "/",
    env: sys.environment(),
    input,
  });
  try {
    return fromBinary(RuntimeInfoSchema, printed);
  } catch (cause) {
    throw new BerthError("internal", `${path} -info: its output is no RuntimeInfo`, {
      stage: "runtime",
      path,
      cause,
    });
  }
}

/** Cleans up after a dead shim; returns how the container ended. */
export async function deleteShim(sys: Sys, shim: ShimCall): Promise<Exit & { pid: number }> {
  const output = await call(sys, shim, "delete", ["-bundle", shim.bundle]);
  const answer = fromBinary(task3.DeleteResponseSchema, output);
  return {
    pid: answer.pid,
    exitStatus: answer.exitStatus,
    exitedAt: nanoseconds(answer.exitedAt) || systemClock.wall(),
  };
}
