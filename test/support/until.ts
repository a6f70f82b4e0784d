/** Waiting for something to come about, with a limit that names it. */

/** Time limit of a wait, in milliseconds; generous, for busy machines. */
const TIMEOUT_MS = 30_000;
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
  { timeoutMs = TIMEOUT_MS, report = () => "" }: { timeoutMs?: number; report?: () => string } = {},
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}\n${report()}`);
    await sleep(POLL_MS);
  }
}
