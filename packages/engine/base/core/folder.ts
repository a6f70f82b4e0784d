/** The daemon's directories, created at its start. */
import * as fs from "node:fs";
import { dirname } from "node:path";
import { BerthError, present } from "@berth/base";

/**
 * Creates a directory and its parents, mode 0711; `what` names it in errors. With `mode`, the directory itself is
 * restricted to that, even one that an earlier version created. One level at a time: the engine's recursive call
 * never returns for a path like "/proc/x", where nothing can be created though the parent exists.
 */
export function makeFolder(path: string, what: string, mode?: number): void {
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
    const made = fs.statSync(path);
    if (!made.isDirectory())
      throw new BerthError("invalid_argument", `${what} ${path} is not a directory`, {
        stage: "config",
        path,
        hint: "choose another, or move what is there away",
      });
    if (mode !== undefined) restrict(path, mode);
  } catch (cause) {
    if (cause instanceof BerthError) throw cause;
    const error = BerthError.from(cause);
    throw new BerthError(error.code, `cannot make ${what} ${path}: ${error.errno ?? error.message}`, {
      stage: "config",
      path,
      cause,
      ...present({ errno: error.errno }),
      hint: "choose another, or make it yourself",
    });
  }
}

/** Removes a file's or directory's permissions beyond `mode`, if it exists. */
export function restrict(path: string, mode: number): void {
  const found = fs.statSync(path, { throwIfNoEntry: false });
  if (found !== undefined && (found.mode & 0o7777 & ~mode) !== 0) fs.chmodSync(path, found.mode & mode);
}
