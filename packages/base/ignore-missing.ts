/** What was to be removed and is gone. */
import { isCode } from "./errors.ts";

/** Waits for `work`; "not_found" is as good as done. */
export async function ignoreMissing(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isCode(error, "not_found")) throw error;
  }
}
