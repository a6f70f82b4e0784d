/** Files that an administrator names in the settings. */
import { readFileSync } from "node:fs";
import { BerthError } from "@berth/base";

/** Reads a file; an error says `what`, such as "tcp.ca: cannot read", then the path and the reason. */
export function readTextFile(
  path: string,
  what: string,
  details: { stage: string; hint?: string },
  encoding: "utf8" | "latin1" = "utf8",
): string {
  try {
    return readFileSync(path, encoding);
  } catch (cause) {
    const error = BerthError.from(cause);
    throw new BerthError(error.code, `${what} ${path}: ${error.errno ?? error.message}`, {
      ...details,
      path,
      cause,
    });
  }
}
