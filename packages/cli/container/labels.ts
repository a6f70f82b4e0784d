/** Facts in a container's labels. */
import { CONTAINERD_LABEL, LABEL } from "@berth/client";

/** Number of restarts by the daemon; containerd's label serves `ctr` and nerdctl. */
export function restartsOf(labels: Readonly<Record<string, string>>): number {
  return Number(labels[LABEL.restartCount] ?? labels[CONTAINERD_LABEL.restartCount] ?? 0) || 0;
}
