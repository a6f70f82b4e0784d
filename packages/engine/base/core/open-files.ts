/** The limit on open files: what the daemon needs of it, and making the best of what it has. */
import { BerthError, log } from "@berth/base";
import { linux } from "@berth/sys";

/** Below this nothing can be started: the daemon's own files, and those of one launch. */
const LEAST = 96;
/** A container takes one for as long as it runs, a client one, a transfer some. */
const ENOUGH = 1024;
/** What hosts give a service that asks for much. */
const GENEROUS = 1 << 20;

/**
 * Raises the limit as far as it may, warns when that is little, and refuses to go on when nothing could be started:
 * "failed_precondition". Node has raised the soft limit to the hard one by now.
 */
export function checkOpenFiles(): void {
  let { soft, hard } = linux.openFileLimit();
  if (hard < ENOUGH && linux.setOpenFileLimit(GENEROUS)) ({ soft, hard } = linux.openFileLimit());
  const hint = "raise it: `ulimit -n 65536`, or LimitNOFILE= of the service";
  if (soft < LEAST)
    throw new BerthError(
      "failed_precondition",
      `the limit on open files is ${soft} (ulimit -n), at least ${LEAST} are needed to start anything`,
      { stage: "limits", hint },
    );
  if (soft < ENOUGH)
    log.warn(`the limit on open files is ${soft} (ulimit -n), expected at least ${ENOUGH}: ${hint}`);
}
