/** The daemon's directories, made at its start. */
import * as fs from "node:fs";
import { dirname } from "node:path";
import { BerthError } from "@berth/base";

/**
 * Makes a directory and those above it, mode 0711; `what` names it in errors. One level at a time: the engine's own
 * recursive call never returns for a path like "/proc/x", where nothing can be made though the parent exists.
 */
export function makeFolder(path: string, what: string): void {
  const missing: string[] = [];
  try {
    for (let at = path; !fs.existsSync(at); at = dirname(at)) missing.push(at);
    for (const folder of missing.reverse()) {
      try {
        fs.mkdirSync(folder, { mode: 0o711 });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
    }
    if (!fs.statSync(path).isDirectory())
      throw new BerthError("invalid_argument", `${what} ${path} is not a directory`, {
        stage: "config",
        path,
        hint: "choose another, or move what is there away",
      });
  } catch (cause) {
    if (cause instanceof BerthError) throw cause;
    const error = BerthError.from(cause);
    throw new BerthError(error.code, `cannot make ${what} ${path}: ${error.errno ?? error.message}`, {
      stage: "config",
      path,
      cause,
      ...(error.errno === undefined ? {} : { errno: error.errno }),
      hint: "choose another, or make it yourself",
    });
  }
}
