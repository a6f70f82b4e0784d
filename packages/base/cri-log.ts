/** Logs in CRI form, as streams are told of them: "cri-log:///path", what the daemon's and clients' sides both write and read. */

/** How the URI of such a log begins. */
export const CRI_LOG = "cri-log://";

/** Mode of a log's files. */
export const LOG_MODE = 0o640;

/** Most files that a log may be kept in. */
export const MAX_LOG_FILES = 1000;

/** The URI of the log at an absolute path. */
export function criLogUri(path: string): string {
  return CRI_LOG + path.split("/").map(encodeURIComponent).join("/");
}
