/**
 * Applies a layer to a folder, never escaping from it.
 *
 * Parent folders are opened with openat2(RESOLVE_IN_ROOT), so that a symbolic link in the layer (or one that was
 * swapped in) resolves inside the root; all other operations use names relative to such a descriptor, without
 * following links. All calls are synchronous: this runs in a worker thread.
 */
import * as fs from "node:fs";
import { BerthError, present } from "@berth/base";
import { linux } from "@berth/sys";
import type { TarEntry, TarSink } from "./tar.ts";

/** How whiteouts are applied: as overlay's markers, or by deleting the file. */
export type WhiteoutStyle = "overlay" | "delete";

/** Where and how to apply. */
export interface ApplyTarget {
  /** Folder to unpack into. */
  root: string;
  /**
   * Folders of the layers below, nearest first, if `root` is an overlay's upper folder. Undefined while they do not
   * exist yet; an entry that needs them then fails with stage {@link NEEDS_PARENTS}.
   */
  parents: readonly string[] | undefined;
  whiteouts: WhiteoutStyle;
}

/** Stage of the error for an entry that needs a missing lower layer; apply again once it exists. */
export const NEEDS_PARENTS = "needs parents";

const WHITEOUT = ".wh.";
const WHITEOUT_META = ".wh..wh.";
const OPAQUE = ".wh..wh..opq";
const { O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_RDONLY, O_WRONLY } = linux;
const ENOENT = -2;
const EEXIST = -17;
const EISDIR = -21;
const MAX_CACHED_FOLDERS = 128;

/** The components of a path inside the layer; throws for one that escapes from it. */
export function stepsOf(name: string, what = "entry"): string[] {
  const steps: string[] = [];
  for (const step of name.split("/")) {
    if (step === "" || step === ".") continue;
    if (step !== "..") steps.push(step);
    else if (steps.pop() === undefined)
      throw new BerthError(
        "invalid_argument",
        `layer ${what} ${JSON.stringify(name)} points outside of the layer`,
        {
          stage: "unpack",
          path: name,
          hint: "the image is broken or hostile; do not use it",
        },
      );
  }
  return steps;
}

/** A sink that unpacks; always call {@link close}, and {@link finish} after everything was pushed. */
export class LayerApplier implements TarSink {
  readonly #target: ApplyTarget;
  readonly #rootFd: number;
  /** Descriptors of folders by path; invalidated when anything that may be part of a path is removed. */
  readonly #folders = new Map<string, number>();
  /** Folders whose times are set at the end, as adding entries changes them. */
  readonly #folderTimes: { path: string; mtime: bigint }[] = [];
  /** Paths from this layer, for opaque folders in "delete" style. */
  readonly #ownPaths: Set<string> | undefined;
  #file: { fd: number; dir: number; base: string; entry: TarEntry } | undefined;
  /** The folder of the current entry: kept open even if the cache drops it. */
  #held: number | undefined;
  /** Held folders that were dropped from the cache; closed before the next entry. */
  readonly #released: number[] = [];
  /** Entries applied so far. */
  entries = 0;
  /** Whether the layer has an entry for the root folder itself. */
  hasRoot = false;

  constructor(target: ApplyTarget) {
    this.#target = target;
    this.#ownPaths = target.whiteouts === "delete" ? new Set() : undefined;
    this.#rootFd = linux.syscall(
      "openat",
      target.root,
      linux.AT_FDCWD,
      target.root,
      O_RDONLY | O_DIRECTORY | O_CLOEXEC,
      0,
    );
  }

  entry(entry: TarEntry): void {
    this.entries++;
    this.#held = undefined;
    this.#closeReleased();
    const steps = stepsOf(entry.name);
    const base = steps.pop();
    try {
      if (base === undefined) this.#applyRoot(entry);
      else if (base.startsWith(WHITEOUT)) this.#whiteout(steps, base, entry);
      else this.#place(steps, base, entry);
    } catch (error) {
      throw this.#explain(error, entry.name);
    }
  }

  data(chunk: Uint8Array): void {
    const file = this.#file;
    // Whiteouts of unusual archives may carry data; it is ignored.
    if (file === undefined) return;
    try {
      for (let at = 0; at < chunk.length; ) at += fs.writeSync(file.fd, chunk, at);
    } catch (error) {
      throw this.#explain(error, file.entry.name);
    }
  }

  end(): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    const { fd, dir, base, entry } = file;
    try {
      linux.syscall("fchown", base, fd, entry.uid, entry.gid);
      for (const [name, value] of entry.xattrs ?? [])
        this.#setXattr(name, () => linux.fsetxattr(fd, name, value));
      // After chown and write, which both clear set-uid.
      linux.syscall("fchmod", base, fd, entry.mode);
      linux.utimensat(dir, base, entry.mtime, entry.mtime, linux.AT_SYMLINK_NOFOLLOW);
    } catch (error) {
      throw this.#explain(error, entry.name);
    } finally {
      linux.close(fd);
    }
  }

  /** Sets the times of folders. */
  finish(): void {
    for (const { path, mtime } of this.#folderTimes.reverse()) {
      const steps = stepsOf(path);
      const base = steps.pop();
      try {
        if (base === undefined) linux.utimensat(this.#rootFd, ".", mtime, mtime, 0);
        else linux.utimensat(this.#folder(steps), base, mtime, mtime, linux.AT_SYMLINK_NOFOLLOW);
      } catch (error) {
        // A later entry of the same layer may have replaced the folder.
        if (!(error instanceof BerthError) || error.errno !== "ENOENT") throw this.#explain(error, path);
      }
    }
  }

  /** Closes all descriptors. */
  close(): void {
    if (this.#file !== undefined) linux.close(this.#file.fd);
    this.#file = undefined;
    this.#held = undefined;
    this.#closeReleased();
    this.#forgetFolders();
    linux.close(this.#rootFd);
  }

  #explain(error: unknown, name: string): BerthError {
    const known = BerthError.from(error, "unpack");
    if (known.stage === NEEDS_PARENTS || known.message.startsWith("layer ")) return known;
    const full = known.errno === "ENOSPC" || known.errno === "EDQUOT";
    return new BerthError(known.code, `cannot unpack ${JSON.stringify(name)}: ${known.message}`, {
      stage: "unpack",
      path: name,
      cause: error,
      ...present({ syscall: known.syscall, errno: known.errno }),
      ...(full ? { hint: "make room on the file system of the root directory" } : {}),
    });
  }

  #forgetFolders(): void {
    for (const fd of this.#folders.values()) linux.close(fd);
    this.#folders.clear();
  }

  /** Descriptor of a folder of the layer; creates it if missing. */
  #folder(steps: readonly string[]): number {
    if (steps.length === 0) return this.#rootFd;
    const path = steps.join("/");
    const cached = this.#folders.get(path);
    if (cached !== undefined) {
      // Moved to the end: the folder just returned must not be the next one to be evicted.
      this.#folders.delete(path);
      this.#folders.set(path, cached);
      return cached;
    }
    let fd: number;
    try {
      fd = this.#openFolder(path);
    } catch (error) {
      if (!(error instanceof BerthError) || (error.errno !== "ENOENT" && error.errno !== "ENOTDIR"))
        throw error;
      fd = this.#makeFolder(steps, path);
    }
    if (this.#folders.size >= MAX_CACHED_FOLDERS) {
      const [oldest, oldFd] = this.#folders.entries().next().value!;
      this.#evict(oldest, oldFd);
    }
    this.#folders.set(path, fd);
    return fd;
  }

  /** Evicts a folder from the cache; one that is in use is closed later. */
  #evict(path: string, fd: number): void {
    this.#folders.delete(path);
    if (fd === this.#held) this.#released.push(fd);
    else linux.close(fd);
  }

  #closeReleased(): void {
    for (const fd of this.#released.splice(0)) linux.close(fd);
  }

  #openFolder(path: string): number {
    return linux.openat2(this.#rootFd, path, O_PATH | O_DIRECTORY, 0, linux.RESOLVE_IN_ROOT);
  }

  /** Creates a folder that the layer implies but does not list: with the attributes of the layer below, else 0755. */
  #makeFolder(steps: readonly string[], path: string): number {
    const parent = this.#folder(steps.slice(0, -1));
    const base = steps.at(-1)!;
    const made = linux.rawSyscall("mkdirat", parent, base, 0o755);
    if (made === EEXIST) {
      // Something else has the name: a file, or a dangling link.
      this.#remove(parent, base);
      linux.mkdirat(parent, base, 0o755);
    } else if (made < 0) throw linux.syscallError("mkdirat", -made, path);
    linux.fchmodat(parent, base, 0o755);
    const fd = this.#openFolder(path);
    this.#copyFromBelow(path, parent, base);
    return fd;
  }

  #parents(path: string): readonly string[] {
    const { parents } = this.#target;
    if (parents === undefined)
      throw new BerthError("failed_precondition", `${path} comes from a layer below`, {
        stage: NEEDS_PARENTS,
      });
    return parents;
  }

  #copyFromBelow(path: string, parent: number, base: string): void {
    for (const lower of this.#parents(path)) {
      const found = openBelow(lower, path, O_PATH | O_DIRECTORY);
      if (found === undefined) continue;
      try {
        const stat = fs.fstatSync(found);
        linux.fchownat(parent, base, stat.uid, stat.gid, linux.AT_SYMLINK_NOFOLLOW);
        linux.fchmodat(parent, base, stat.mode & 0o7777);
      } finally {
        linux.close(found);
      }
      return;
    }
  }

  /** Removes any entry of this name from the folder. */
  #remove(dir: number, base: string): void {
    const result = linux.rawSyscall("unlinkat", dir, base, 0);
    if (result === EISDIR) fs.rmSync(`/proc/self/fd/${dir}/${base}`, { recursive: true, force: true });
    else if (result < 0 && result !== ENOENT) throw linux.syscallError("unlinkat", -result, base);
    // Folders that were reached through it no longer match their paths.
    for (const [path, fd] of this.#folders) if (fd !== dir) this.#evict(path, fd);
  }

  #place(steps: string[], base: string, entry: TarEntry): void {
    const dir = this.#folder(steps);
    this.#held = dir;
    this.#ownPaths?.add([...steps, base].join("/"));
    switch (entry.type) {
      case "directory":
        this.#makeDirectory(dir, base, entry);
        return;
      case "file": {
        const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
        const fd = this.#creating(dir, base, "openat", () =>
          linux.rawSyscall("openat", dir, base, flags, 0o600),
        );
        this.#file = { fd, dir, base, entry };
        return;
      }
      case "hardlink":
        this.#hardLink(dir, base, entry);
        return;
      case "symlink":
        this.#creating(dir, base, "symlinkat", () =>
          linux.rawSyscall("symlinkat", entry.linkname, dir, base),
        );
        break;
      case "fifo":
        this.#creating(dir, base, "mknodat", () =>
          linux.rawSyscall("mknodat", dir, base, linux.S_IFIFO | 0o600, 0),
        );
        break;
      default: {
        const kind = entry.type === "char" ? linux.S_IFCHR : linux.S_IFBLK;
        const device = linux.makedev(entry.major, entry.minor);
        this.#creating(dir, base, "mknodat", () =>
          linux.rawSyscall("mknodat", dir, base, kind | 0o600, device),
        );
      }
    }
    this.#attributes(dir, base, entry);
    linux.utimensat(dir, base, entry.mtime, entry.mtime, linux.AT_SYMLINK_NOFOLLOW);
  }

  /** Runs a call that creates `base`, removing a conflicting entry first. */
  #creating(dir: number, base: string, syscall: string, make: () => number): number {
    let result = make();
    if (result === EEXIST) {
      this.#remove(dir, base);
      result = make();
    }
    if (result < 0) throw linux.syscallError(syscall, -result, base);
    return result;
  }

  #makeDirectory(dir: number, base: string, entry: TarEntry): void {
    const result = linux.rawSyscall("mkdirat", dir, base, 0o700);
    if (result === EEXIST) {
      const fd = linux.rawSyscall("openat", dir, base, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
      if (fd >= 0) linux.close(fd);
      else {
        this.#remove(dir, base);
        linux.mkdirat(dir, base, 0o700);
      }
    } else if (result < 0) throw linux.syscallError("mkdirat", -result, base);
    this.#attributes(dir, base, entry);
    this.#folderTimes.push({ path: entry.name, mtime: entry.mtime });
  }

  #attributes(dir: number, base: string, entry: TarEntry): void {
    linux.fchownat(dir, base, entry.uid, entry.gid, linux.AT_SYMLINK_NOFOLLOW);
    for (const [name, value] of entry.xattrs ?? [])
      this.#setXattr(name, () => linux.lsetxattr(`/proc/self/fd/${dir}/${base}`, name, value));
    if (entry.type !== "symlink") linux.fchmodat(dir, base, entry.mode);
  }

  #setXattr(name: string, set: () => void): void {
    // Overlay's own attributes would let a layer rearrange the layers below.
    if (name.startsWith("trusted.overlay.")) return;
    try {
      set();
    } catch (error) {
      // A file system without extended attributes can still hold the image.
      if (!(error instanceof BerthError) || error.errno !== "EOPNOTSUPP") throw error;
    }
  }

  #hardLink(dir: number, base: string, entry: TarEntry): void {
    const steps = stepsOf(entry.linkname, "link target");
    const targetBase = steps.pop();
    if (targetBase === undefined)
      throw new BerthError(
        "invalid_argument",
        `layer entry ${JSON.stringify(entry.name)} is a hard link to the root`,
      );
    const path = [...steps, targetBase].join("/");
    const link = () => linux.rawSyscall("linkat", this.#folder(steps), targetBase, dir, base, 0);
    let result = link();
    if (result === EEXIST) {
      this.#remove(dir, base);
      result = link();
    }
    if (result === ENOENT && this.#copyUp(path, this.#folder(steps), targetBase)) result = link();
    if (result < 0) throw linux.syscallError("linkat", -result, `${entry.name} -> ${entry.linkname}`);
  }

  /** Copies a file from a lower layer into this one, so that it can be linked to. */
  #copyUp(path: string, dir: number, base: string): boolean {
    for (const lower of this.#parents(path)) {
      const source = openBelow(lower, path, O_RDONLY | O_NOFOLLOW);
      if (source === undefined) continue;
      try {
        const stat = fs.fstatSync(source, { bigint: true });
        if (!stat.isFile()) return false;
        const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
        const fd = linux.syscall("openat", base, dir, base, flags, 0o600);
        try {
          const chunk = Buffer.allocUnsafe(1 << 18);
          for (let n = fs.readSync(source, chunk); n > 0; n = fs.readSync(source, chunk))
            fs.writeSync(fd, chunk, 0, n);
          linux.syscall("fchown", base, fd, Number(stat.uid), Number(stat.gid));
          linux.syscall("fchmod", base, fd, Number(stat.mode) & 0o7777);
          linux.utimensat(dir, base, stat.mtimeNs, stat.mtimeNs, linux.AT_SYMLINK_NOFOLLOW);
        } finally {
          linux.close(fd);
        }
        return true;
      } finally {
        linux.close(source);
      }
    }
    return false;
  }

  #applyRoot(entry: TarEntry): void {
    if (entry.type !== "directory") return;
    this.hasRoot = true;
    linux.syscall("fchown", "/", this.#rootFd, entry.uid, entry.gid);
    linux.syscall("fchmod", "/", this.#rootFd, entry.mode);
    this.#folderTimes.push({ path: "", mtime: entry.mtime });
  }

  #whiteout(steps: string[], base: string, entry: TarEntry): void {
    if (base === OPAQUE) {
      const dir = this.#folder(steps);
      if (this.#target.whiteouts === "overlay")
        linux.lsetxattr(
          steps.length === 0 ? this.#target.root : `/proc/self/fd/${dir}/.`,
          "trusted.overlay.opaque",
          Buffer.from("y"),
        );
      else this.#emptyFolder(steps, dir);
      return;
    }
    // Other names with this prefix are aufs' internal files.
    if (base.startsWith(WHITEOUT_META)) return;
    const gone = base.slice(WHITEOUT.length);
    if (gone === "" || gone === "." || gone === "..")
      throw new BerthError(
        "invalid_argument",
        `layer entry ${JSON.stringify(entry.name)} deletes nothing that can be named`,
      );
    const dir = this.#folder(steps);
    this.#remove(dir, gone);
    if (this.#target.whiteouts === "overlay") {
      linux.mknodat(dir, gone, linux.S_IFCHR, 0);
      linux.fchownat(dir, gone, entry.uid, entry.gid, linux.AT_SYMLINK_NOFOLLOW);
    }
  }

  /** Removes the entries of earlier layers from a folder, keeping those of this one. */
  #emptyFolder(steps: readonly string[], dir: number): void {
    const prefix = steps.length === 0 ? "" : `${steps.join("/")}/`;
    for (const name of fs.readdirSync(`/proc/self/fd/${dir}`)) {
      const path = `${prefix}${name}`;
      let keep = false;
      for (const brought of this.#ownPaths ?? [])
        if (brought === path || brought.startsWith(`${path}/`)) {
          keep = true;
          break;
        }
      if (!keep) this.#remove(dir, name);
    }
  }
}

/** Opens a path inside a lower layer; undefined if it does not exist. */
function openBelow(root: string, path: string, flags: number): number | undefined {
  const rootFd = linux.rawSyscall("openat", linux.AT_FDCWD, root, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (rootFd < 0) return undefined;
  try {
    return linux.openat2(rootFd, path, flags, 0, linux.RESOLVE_IN_ROOT);
  } catch {
    return undefined;
  } finally {
    linux.close(rootFd);
  }
}
