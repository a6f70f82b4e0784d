/** Calling a shim's program: `start` gives the address of its Task service, `delete` removes what a dead one left. */
import { spawn } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";
import { task3 } from "@berth/api";
import { nanoseconds } from "@berth/api/time";
import { BerthError, systemClock } from "@berth/base";
import { fromBinary } from "@bufbuild/protobuf";
import type { Exit } from "../contract/task-shim.ts";

const CALL_MS = 30_000;
const MAX_OUTPUT = 64 << 10;
/** The newest version of the Task service that is spoken here. */
const MAX_VERSION = 3;

/** Where a shim's Task service is. */
export interface ShimAddress {
  /** Version of the Task service: 2 or 3. */
  version: number;
  address: string;
}

/** What a shim is told at each call. */
export interface ShimCall {
  /** Absolute path of its program. */
  program: string;
  namespace: string;
  id: string;
  bundle: string;
  /** Sockets of the daemon: its API, and where events go. */
  address: string;
  ttrpcAddress: string;
}

/** The file name of a runtime's shim: "io.containerd.runc.v2" is containerd-shim-runc-v2. */
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

/** Finds a runtime's shim: an absolute path, or a program in PATH. */
export async function findShim(runtime: string): Promise<string> {
  const candidates = isAbsolute(runtime)
    ? [runtime]
    : (process.env.PATH ?? "")
        .split(delimiter)
        .filter(isAbsolute)
        .map((folder) => join(folder, shimName(runtime)));
  for (const path of candidates) {
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {
      // The next one, then.
    }
  }
  const name = isAbsolute(runtime) ? runtime : shimName(runtime);
  throw new BerthError("not_found", `runtime ${JSON.stringify(runtime)}: found no program ${name}`, {
    stage: "runtime",
    hint: isAbsolute(runtime) ? "correct the path" : "install it into a folder of berthd's PATH",
  });
}

async function call(shim: ShimCall, action: "start" | "delete", more: readonly string[]): Promise<Buffer> {
  const { namespace, id, address, ttrpcAddress, program } = shim;
  const publisher = process.execPath;
  const args = ["-namespace", namespace, "-address", address, "-publish-binary", publisher, "-id", id];
  const child = spawn(program, [...args, ...more, action], {
    cwd: shim.bundle,
    env: {
      ...process.env,
      GOMAXPROCS: "2",
      MAX_SHIM_VERSION: String(MAX_VERSION),
      TTRPC_ADDRESS: ttrpcAddress,
      GRPC_ADDRESS: address,
      NAMESPACE: namespace,
    },
    // No options on standard input: shims differ in what they expect there, and all take them with Create.
    stdio: ["ignore", "pipe", "pipe"],
    timeout: CALL_MS,
    killSignal: "SIGKILL",
  });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  let size = 0;
  const keep = (to: Buffer[]) => (chunk: Buffer) => {
    size += chunk.length;
    if (size <= MAX_OUTPUT) to.push(chunk);
  };
  child.stdout.on("data", keep(out));
  child.stderr.on("data", keep(err));
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
    child.on("error", reject);
    // Not "close": the shim that stays behind may hold its standard error open.
    child.on("exit", (...how) => setImmediate(resolve, how));
  });
  child.stdout.destroy();
  child.stderr.destroy();
  const failed = (what: string) =>
    new BerthError("internal", `${program} ${action}: ${what}`, { stage: "runtime", path: program });
  if (size > MAX_OUTPUT) throw failed(`answered more than ${MAX_OUTPUT} bytes`);
  if (code !== 0) {
    const words = Buffer.concat([...err, ...out])
      .toString()
      .trim();
    throw failed(
      `${signal === null ? `exit code ${code}` : `killed by ${signal}`}${words ? `: ${words}` : ""}`,
    );
  }
  return Buffer.concat(out);
}

/** Reads what `start` answers: JSON of version 2 or later, or a bare address. */
export function parseAddress(text: string): ShimAddress {
  const refuse = (what: string) =>
    new BerthError("unimplemented", `the shim answered ${what}`, { stage: "runtime" });
  const line = text.trim();
  if (!line.startsWith("{")) return { version: 2, address: line };
  const { version, address, protocol } = JSON.parse(line) as Partial<Record<string, unknown>>;
  if (typeof version !== "number" || version < 2 || version > MAX_VERSION)
    throw refuse(`version ${version}, expected 2 to ${MAX_VERSION}`);
  if (protocol !== "ttrpc") throw refuse(`protocol ${JSON.stringify(protocol)}, expected "ttrpc"`);
  if (typeof address !== "string") throw refuse("no address");
  return { version, address };
}

/** Starts the shim, or finds the one that serves this container's group already. */
export async function startShim(shim: ShimCall): Promise<ShimAddress> {
  return parseAddress((await call(shim, "start", [])).toString());
}

/** Has the program remove what a dead shim left of a container; how that ended. */
export async function deleteShim(shim: ShimCall): Promise<Exit & { pid: number }> {
  const answer = fromBinary(task3.DeleteResponseSchema, await call(shim, "delete", ["-bundle", shim.bundle]));
  return {
    pid: answer.pid,
    exitStatus: answer.exitStatus,
    exitedAt: nanoseconds(answer.exitedAt) || systemClock.wall(),
  };
}
