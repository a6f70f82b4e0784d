/**
 * Paths of mounts that lie in the daemon's own folders: reached without following links, as a mounted image may hold
 * any. Other paths are the client's, and mean what they mean to mount(8).
 */
import { BerthError } from "@berth/base";
import { linux } from "@berth/sys";

/** A folder of the daemon's in which paths are reached by descriptor. */
export class Place {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** Whether a path is below the folder. */
  has(path: string): boolean {
    return path.startsWith(`${this.folder}/`);
  }

  /** Opens a path below the folder; no part of it may be a link, or "..". `field` names it in errors. */
  open(path: string, flags: number, field: string): number {
    const below = path.slice(this.folder.length + 1);
    const refuse = (found: string) =>
      new BerthError(
        "invalid_argument",
        `${field}: found ${found} in ${JSON.stringify(path)}, expected a path without links below ${this.folder}: invalid argument`,
        { path },
      );
    if (below.split("/").includes("..")) throw refuse('".."');
    const { O_PATH, O_DIRECTORY, O_CLOEXEC, AT_FDCWD } = linux;
    const root = linux.syscall(
      "openat",
      this.folder,
      AT_FDCWD,
      this.folder,
      O_PATH | O_DIRECTORY | O_CLOEXEC,
      0,
    );
    try {
      return linux.openat2(root, below, flags, 0, linux.RESOLVE_IN_ROOT | linux.RESOLVE_NO_SYMLINKS);
    } catch (error) {
      throw BerthError.from(error).errno === "ELOOP" ? refuse("a symbolic link") : error;
    } finally {
      linux.close(root);
    }
  }
}
