/** The daemon's own standing with the kernel's out-of-memory killer. */
import { writeFileSync } from "node:fs";
import { log } from "@berth/base";

/** Sets the process's oom_score_adj; hosts that do not allow it to be lowered keep theirs, with a warning. */
export function setOomScore(score: number): void {
  try {
    writeFileSync("/proc/self/oom_score_adj", String(score));
  } catch (error) {
    log.warn("oom_score could not be set", { score, error: String(error) });
  }
}
