/** Limits of a container's log: from its labels, or the daemon's settings. */
import { LABEL } from "@berth/api";
import { CRI_LOG } from "@berth/base";
import type { LogRotation } from "@berth/runtime";
import type { Stdio } from "@berth/shim";

/** Adds the limits of the log to a task's streams, unless the client has set any. */
export function withRotation(
  stdio: Stdio,
  labels: Readonly<Record<string, string>>,
  settings: LogRotation,
): Stdio {
  const { stdout, stderr } = stdio;
  if (!stdout.startsWith(CRI_LOG)) return stdio;
  const bytes = numberOf(labels[LABEL.logMaxSize], settings.bytes);
  const files = numberOf(labels[LABEL.logMaxFiles], settings.files);
  if (bytes === 0) return stdio;
  const limited = (uri: string) => {
    if (!uri.startsWith(CRI_LOG) || new URL(uri).searchParams.has("max-size")) return uri;
    return `${uri}${uri.includes("?") ? "&" : "?"}max-size=${bytes}&max-files=${files}`;
  };
  return { ...stdio, stdout: limited(stdout), stderr: limited(stderr) };
}

// Labels are untrusted client input: an invalid one is ignored.
function numberOf(label: string | undefined, fallback: number): number {
  return label !== undefined && /^\d{1,15}$/.test(label) ? Number(label) : fallback;
}
