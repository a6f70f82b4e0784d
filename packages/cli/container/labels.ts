/** What labels of a container say. */
import { CONTAINERD_LABEL, LABEL } from "@berth/client";

/** How often the daemon started a container again; containerd's label is that of `ctr` and nerdctl. */
export function restartsOf(labels: Readonly<Record<string, string>>): number {
  return Number(labels[LABEL.restartCount] ?? labels[CONTAINERD_LABEL.restartCount] ?? 0) || 0;
}

/** A user's labels, without berth's own. */
export function userLabels(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(labels).filter(([key]) => !key.startsWith("berth/") && !key.startsWith("containerd.io/")),
  );
}
