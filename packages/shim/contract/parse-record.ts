/** Records on disk, as shims write them. */
import { BerthError } from "@berth/base";

/** Reads a record's text; "data_loss" names the file that is damaged. */
export function parseRecord<T>(path: string, text: string): T {
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    throw new BerthError("data_loss", `${path} is damaged: ${(cause as Error).message}`, {
      stage: "recover",
      path,
      cause,
      hint: "look at the disk; `berth rm -f` removes the container",
    });
  }
}
