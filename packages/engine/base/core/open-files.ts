/** The limit on open files: what the daemon needs, and raising it as far as possible. */
import { BerthError, log } from "@berth/base";
import { linux } from "@berth/sys";

/** Minimum to start anything: the daemon's own files, and those of one launch. */
const MINIMUM = 96;
/** Recommended: a running container takes one, a client one, a transfer some. */
const RECOMMENDED = 1024;
/** Usual limit of a service that asks for many. */
const PREFERRED = 1 << 20;

/**
 * Raises the limit as far as permitted, warns if it is low, and throws "failed_precondition" if nothing could be
 * started. Node has raised the soft limit to the hard one by now.
 */
export function checkOpenFiles(): void {
  let { soft, hard } = linux.openFileLimit();
  if (hard < RECOMMENDED && linux.setOpenFileLimit(PREFERRED)) ({ soft, hard } = linux.openFileLimit());
  const hint = "raise it: `ulimit -n 65536`, or LimitNOFILE= of the service";
  if (soft < MINIMUM)
    throw new BerthError(
      "failed_precondition",
      `the limit on open files is ${soft} (ulimit -n), at least ${MINIMUM} are needed to start anything`,
      { stage: "limits", hint },
    );
  if (soft < RECOMMENDED)
    log.warn(`the limit on open files is ${soft} (ulimit -n), expected at least ${RECOMMENDED}: ${hint}`);
}
