/**
 * Programs that judge whether an image may be pulled: containerd's interface of image verifiers (docs/image-verification).
 * Each is called with the name and the digest, gets the descriptor on standard input, and allows the pull by exit code 0;
 * what it prints is its reason.
 */
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { BerthError, isCode, log } from "@berth/base";
import { type Descriptor, MEDIA_TYPES } from "@berth/oci";
import { collectOutput } from "../../base/core/output.ts";

/** Which programs are asked. */
export interface Verifiers {
  binDir: string;
  /** At most so many; -1 for all. */
  max: number;
  /** In milliseconds, for each. */
  timeout: number;
}

/** Asks all programs; "permission_denied" if one of them is against it, or cannot be asked. */
export async function verify(
  { binDir, max, timeout }: Verifiers,
  name: string,
  target: Descriptor,
  signal: AbortSignal,
): Promise<void> {
  const programs = programsIn(binDir);
  const asked = max < 0 ? programs : programs.slice(0, max);
  if (asked.length < programs.length)
    log.warn("not all image verifiers are asked", { folder: binDir, verifiers: programs.length, max });
  await Promise.all(asked.map((program) => ask(join(binDir, program), name, target, timeout, signal)));
}

function programsIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch (cause) {
    const error = BerthError.from(cause, "verify");
    if (isCode(error, "not_found")) return [];
    throw error;
  }
}

function ask(
  program: string,
  name: string,
  target: Descriptor,
  timeout: number,
  signal: AbortSignal,
): Promise<void> {
  const refusal = (why: string, cause?: unknown) =>
    new BerthError(
      "permission_denied",
      `image verifier ${program} blocks the pull of ${name} (${target.digest}): ${why}`,
      {
        stage: "verify",
        cause,
      },
    );
  return new Promise((resolve, reject) => {
    const args = ["-name", name, "-digest", target.digest, "-stdin-media-type", MEDIA_TYPES.descriptor];
    const limit = AbortSignal.timeout(timeout);
    const child = spawn(program, args, {
      signal: AbortSignal.any([signal, limit]),
      killSignal: "SIGKILL",
      stdio: ["pipe", "pipe", "pipe"],
    });
    const output = collectOutput(child.stdout);
    const complaints = collectOutput(child.stderr);
    child.on("error", (cause) => {
      if (signal.aborted) reject(BerthError.from(signal.reason));
      else if (limit.aborted) reject(refusal(`it did not answer within ${timeout / 1000} s`, cause));
      else reject(refusal(`it cannot be run: ${cause.message}`, cause));
    });
    child.on("close", (code, killed) => {
      if (complaints() !== "") log.debug("an image verifier says", { program, text: complaints() });
      if (code === 0) return resolve();
      reject(refusal(`${output().trim() || "it gives no reason"} (exit code ${code ?? killed})`));
    });
    // A program need not read what it is told.
    child.stdin.on("error", () => {});
    child.stdin.end(JSON.stringify(target));
  });
}
