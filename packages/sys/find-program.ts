/** Programs by name. */
import type { Sys } from "./sys.ts";

/** PATH where the environment has none, as in a login shell of root. */
export const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Folders that are searched for programs, as in $PATH. */
export function searchPath(sys: Sys): string {
  return sys.env("PATH") || DEFAULT_PATH;
}

/** Absolute path of an executable in {@link searchPath}; undefined if there is none. Relative folders are skipped. */
export function findProgram(sys: Sys, name: string): string | undefined {
  return searchPath(sys)
    .split(":")
    .filter((folder) => folder.startsWith("/"))
    .map((folder) => `${folder}/${name}`.replace(/\/+/g, "/"))
    .find((path) => sys.executable(path));
}
