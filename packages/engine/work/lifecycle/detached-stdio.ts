/** Streams of a task that the daemon starts itself: no input, output to the container's log. */
import { CONTAINERD_LABEL, LABEL } from "@berth/api";
import { CRI_LOG, criLogUri } from "@berth/base";
import type { Stdio } from "@berth/shim";
import type { ContainerRecord } from "../../objects/containers/container-store.ts";

const encodePath = (path: string): string => path.split("/").map(encodeURIComponent).join("/");

/**
 * `before` are the streams of the last task, kept except for those to a client. `fallback` is the default target of
 * output; "" to discard it.
 */
export function detachedStdio(record: ContainerRecord, before: Stdio | undefined, fallback = ""): Stdio {
  const terminal = hasTerminal(record);
  const both = (uri: string): Stdio => ({ stdin: "", stdout: uri, stderr: terminal ? "" : uri, terminal });
  const own = record.labels[LABEL.logPath];
  if (own !== undefined) return both(criLogUri(own));
  const uri = record.labels[CONTAINERD_LABEL.logUri];
  if (uri) return both(uri);
  const path = record.labels[CONTAINERD_LABEL.logPath];
  if (path) return both(`file://${encodePath(path)}`);
  const lasts = (stream: string) => (/^(file|binary|cri-log):/.test(stream) ? withoutClient(stream) : "");
  if (fallback !== "" && lasts(before?.stdout ?? "") === "") return both(fallback);
  return {
    stdin: "",
    stdout: lasts(before?.stdout ?? ""),
    stderr: terminal ? "" : lasts(before?.stderr ?? ""),
    terminal,
  };
}

/** A log's URI without the attached client and without limits, which may have changed. */
function withoutClient(uri: string): string {
  return uri.startsWith(CRI_LOG) ? uri.split("?")[0]! : uri;
}

function hasTerminal(record: ContainerRecord): boolean {
  const spec = JSON.parse(Buffer.from(record.spec?.value ?? []).toString("utf8")) as {
    process?: { terminal?: boolean };
  };
  return spec.process?.terminal ?? false;
}
