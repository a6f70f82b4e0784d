/** Waiting for something to come about, with a limit that names it. */

/** Time until a wait is given up, in milliseconds; on a busy machine things take long. */
const PATIENCE_MS = 30_000;
const POLL_MS = 10;

/** Resolves after a time in milliseconds. */
export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Polls `look` until it returns something other than undefined or false, and returns that. `what` completes the sentence
 * "waited in vain until ..."; `report` adds to it, for instance a daemon's log.
 */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  { patienceMs = PATIENCE_MS, report = () => "" }: { patienceMs?: number; report?: () => string } = {},
): Promise<T> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}\n${report()}`);
    await sleep(POLL_MS);
  }
}
