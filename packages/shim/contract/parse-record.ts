/** Records on disk. */
import { BerthError } from "@berth/base";

/** Parses a record; "data_loss" names a damaged file. */
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
