/** Removal that tolerates a missing target. */
import { isCode } from "./errors.ts";

/** Waits for `work`; treats "not_found" as success. */
export async function ignoreMissing(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isCode(error, "not_found")) throw error;
  }
}
