/** Log URIs in CRI form, "cri-log:///path": written and read by both the daemon and its clients. */

/** Scheme and prefix of such a URI. */
export const CRI_LOG = "cri-log://";

/** Mode of a log's files. */
export const LOG_MODE = 0o640;

/** Upper bound on the number of files of one log. */
export const MAX_LOG_FILES = 1000;

/** The URI of the log at an absolute path. */
export function criLogUri(path: string): string {
  return CRI_LOG + path.split("/").map(encodeURIComponent).join("/");
}
