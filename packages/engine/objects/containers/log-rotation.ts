/** How far a container's log may grow: by its labels, or the daemon's settings. */
import { LABEL } from "@berth/api";
import { CRI_LOG } from "@berth/base";
import type { LogRotation } from "@berth/runtime";
import type { Stdio } from "@berth/shim";

/** The same streams with their log's limits, where the client has not set any. */
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

// Anybody who may make containers writes labels: one that makes no sense says nothing.
function numberOf(label: string | undefined, otherwise: number): number {
  return label !== undefined && /^\d{1,15}$/.test(label) ? Number(label) : otherwise;
}
