/** Running a program and collecting its output. `node:child_process` is loaded on use: short commands never need it. */
import { BerthError } from "@berth/base";
import type { RunOptions, RunResult } from "../sys.ts";

/** See {@link Sys.run}. */
export async function run(options: RunOptions): Promise<RunResult> {
  const { path, args, cwd, env, input, timeoutMs, maxOutput } = options;
  const child = process.getBuiltinModule("node:child_process").spawn(path, args, {
    cwd,
    env: { ...env },
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    timeout: timeoutMs,
    killSignal: "SIGKILL",
  });
  // A program that does not read it is no error.
  child.stdin?.on("error", () => {});
  child.stdin?.end(input);
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  let size = 0;
  const keep = (to: Buffer[]) => (chunk: Buffer) => {
    size += chunk.length;
    if (size <= maxOutput) to.push(chunk);
  };
  // Both are pipes.
  const [stdout, stderr] = [child.stdout!, child.stderr!];
  stdout.on("data", keep(out));
  stderr.on("data", keep(err));
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
    child.on("error", (error) => reject(BerthError.from(error)));
    // Not "close": a daemon that it leaves behind may hold its output open.
    child.on("exit", (...how) => setImmediate(resolve, how));
  });
  stdout.destroy();
  stderr.destroy();
  return {
    code: code ?? undefined,
    signal: signal ?? undefined,
    stdout: Buffer.concat(out),
    stderr: Buffer.concat(err),
    truncated: size > maxOutput,
  };
}
