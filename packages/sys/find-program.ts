/** Programs by name. */
import type { Sys } from "./sys.ts";

/** PATH where the environment has none, as execvp(3) takes it. */
export const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Absolute path of an executable in PATH; undefined if there is none. Relative folders of PATH are skipped. */
export function findProgram(sys: Sys, name: string): string | undefined {
  return (sys.env("PATH") || DEFAULT_PATH)
    .split(":")
    .filter((folder) => folder.startsWith("/"))
    .map((folder) => `${folder}/${name}`.replace(/\/+/g, "/"))
    .find((path) => sys.executable(path));
}
