/** What labels of a container say. */
import { CONTAINERD_LABEL, LABEL } from "@berth/client";

/** How often the daemon started a container again; containerd's label is that of `ctr` and nerdctl. */
export function restartsOf(labels: Readonly<Record<string, string>>): number {
  return Number(labels[LABEL.restartCount] ?? labels[CONTAINERD_LABEL.restartCount] ?? 0) || 0;
}
