/** Parses mount options of config.json (mount(8)) to attributes, propagation and file system parameters. Pure. */
import { BerthError } from "@berth/base";

export const MOUNT_ATTR_RDONLY = 0x1;
const NOSUID = 0x2;
const NODEV = 0x4;
const NOEXEC = 0x8;
const ATIME = 0x70; // a mask; relatime is 0
const NOATIME = 0x10;
const STRICTATIME = 0x20;
const NODIRATIME = 0x80;
const NOSYMFOLLOW = 0x200000;

/** MOUNT_ATTR_* bits that an option sets and clears (mount_setattr(2)). */
const ATTRIBUTES: Readonly<Record<string, readonly [set: number, clear: number]>> = {
  ro: [MOUNT_ATTR_RDONLY, 0],
  rw: [0, MOUNT_ATTR_RDONLY],
  nosuid: [NOSUID, 0],
  suid: [0, NOSUID],
  nodev: [NODEV, 0],
  dev: [0, NODEV],
  noexec: [NOEXEC, 0],
  exec: [0, NOEXEC],
  relatime: [0, ATIME],
  norelatime: [0, 0],
  atime: [0, 0],
  noatime: [NOATIME, ATIME],
  strictatime: [STRICTATIME, ATIME],
  nostrictatime: [0, ATIME],
  nodiratime: [NODIRATIME, 0],
  diratime: [0, NODIRATIME],
  nosymfollow: [NOSYMFOLLOW, 0],
  symfollow: [0, NOSYMFOLLOW],
};

/** Options that set the access time mode, which a bind mount otherwise keeps from its source. */
const ACCESS_TIMES = new Set(["noatime", "relatime", "strictatime", "nodiratime"]);

const PROPAGATIONS: Readonly<Record<string, number>> = {
  unbindable: 1 << 17,
  private: 1 << 18,
  slave: 1 << 19,
  shared: 1 << 20,
};

const IGNORED = new Set([
  "defaults",
  "async",
  "nolazytime",
  "nomand",
  "silent",
  "loud",
  "iversion",
  "noiversion",
]);

/** Extensions of crun. */
const UNSUPPORTED = new Set(["copy-symlink", "dest-nofollow", "src-nofollow"]);

/** A mount's parsed options. */
export interface MountOptions {
  readonly bind: "no" | "bind" | "rbind";
  readonly remount: boolean;
  /** MOUNT_ATTR_* bits to set and to clear. */
  readonly set: number;
  readonly clear: number;
  /** Whether any option concerns attributes. */
  readonly attributes: boolean;
  /** Whether any option sets the access time mode. */
  readonly accessTimes: boolean;
  /** MOUNT_ATTR_* bits to set and to clear recursively: "rro", "rnosuid" and so on. */
  readonly recursiveSet: number;
  readonly recursiveClear: number;
  /** MS_PRIVATE and so on; 0 keeps the propagation. */
  readonly propagation: number;
  readonly recursivePropagation: boolean;
  /** Whether to map owners, and whether recursively. */
  readonly idmap: "no" | "idmap" | "ridmap";
  /** Whether a tmpfs starts with a copy of the directory it covers. */
  readonly copyUp: boolean;
  /** Parameters of the file system: "size=64m", "gid=5", "newinstance". */
  readonly parameters: readonly string[];
}

/** Flag of a propagation option, with or without a leading "r"; undefined for any other option. */
export function propagationFlag(word: string): { flag: number; recursive: boolean } | undefined {
  const plain = PROPAGATIONS[word];
  if (plain !== undefined) return { flag: plain, recursive: false };
  const recursive = word.startsWith("r") ? PROPAGATIONS[word.slice(1)] : undefined;
  return recursive === undefined ? undefined : { flag: recursive, recursive: true };
}

/** Parses options; `where` names the mount in errors. Unknown options are parameters of the file system. */
export function parseMountOptions(options: readonly string[], where: string): MountOptions {
  let bind: MountOptions["bind"] = "no";
  let remount = false;
  let [set, clear, recursiveSet, recursiveClear] = [0, 0, 0, 0];
  let [attributes, accessTimes] = [false, false];
  let propagation = 0;
  let recursivePropagation = false;
  let idmap: MountOptions["idmap"] = "no";
  let copyUp = false;
  const parameters: string[] = [];
  for (const option of options) {
    const attribute = ATTRIBUTES[option];
    const recursive = option.startsWith("r") ? ATTRIBUTES[option.slice(1)] : undefined;
    const propagated = propagationFlag(option);
    if (option === "bind" || option === "rbind") {
      if (bind !== "rbind") bind = option;
    } else if (option === "remount") {
      remount = true;
    } else if (attribute !== undefined) {
      attributes = true;
      accessTimes ||= ACCESS_TIMES.has(option);
      // The last of two opposite options wins, as with mount(8).
      set = (set & ~attribute[1]) | attribute[0];
      clear = (clear & ~attribute[0]) | attribute[1];
    } else if (recursive !== undefined) {
      recursiveSet = (recursiveSet & ~recursive[1]) | recursive[0];
      recursiveClear = (recursiveClear & ~recursive[0]) | recursive[1];
    } else if (propagated !== undefined) {
      propagation = propagated.flag;
      recursivePropagation = propagated.recursive;
    } else if (option === "idmap" || option === "ridmap") {
      idmap = option;
    } else if (option === "tmpcopyup") {
      copyUp = true;
    } else if (UNSUPPORTED.has(option)) {
      throw new BerthError("unimplemented", `${where}: the mount option "${option}" is not supported`, {
        stage: "mount",
      });
    } else if (option !== "" && !IGNORED.has(option)) {
      parameters.push(option);
    }
  }
  // The kernel requires the whole atime field to be cleared when it is set.
  if (set & ATIME) clear |= ATIME;
  if (recursiveSet & ATIME) recursiveClear |= ATIME;
  return {
    bind,
    remount,
    set,
    clear,
    attributes,
    accessTimes,
    recursiveSet,
    recursiveClear,
    propagation,
    recursivePropagation,
    idmap,
    copyUp,
    parameters,
  };
}

/**
 * Attributes that a bind mount sets and clears. With any attribute option, a bind mount has exactly the named attributes
 * and none of its source's, as with mount(2)'s MS_REMOUNT; only the access time mode is kept unless named. In a user
 * namespace the source's restrictions are kept unless named, as the kernel locks them there.
 */
export function bindAttributes(o: MountOptions, userNamespace: boolean): [set: number, clear: number] {
  if (!o.attributes) return [0, 0];
  const restrictions = userNamespace ? 0 : MOUNT_ATTR_RDONLY | NOSUID | NODEV | NOEXEC;
  const times = o.accessTimes && !userNamespace ? ATIME | NODIRATIME : 0;
  const unnamed = (restrictions | NOSYMFOLLOW | times) & ~(o.set & ~ATIME);
  // Options such as "nostrictatime" only undo earlier ones, and must not change a locked mode.
  const clear = userNamespace && !o.accessTimes ? o.clear & ~(ATIME | NODIRATIME) : o.clear;
  return [o.set, clear | unnamed];
}

/** Superblock flags that fsconfig(2) accepts for every file system. */
const SUPERBLOCK = ["dirsync", "lazytime", "mand", "sync"];

/** Names of all supported mount options, for `features`. */
export function mountOptionNames(): string[] {
  const attributes = Object.keys(ATTRIBUTES);
  const propagations = Object.keys(PROPAGATIONS);
  return [
    "bind",
    "idmap",
    "rbind",
    "remount",
    "ridmap",
    "tmpcopyup",
    ...attributes,
    ...attributes.map((word) => `r${word}`),
    ...propagations,
    ...propagations.map((word) => `r${word}`),
    ...IGNORED,
    ...SUPERBLOCK,
  ].sort();
}

/** Attributes that the kernel locks, with their flags in statfs(2). */
const STATFS_FLAGS: readonly (readonly [attribute: number, flag: number])[] = [
  [MOUNT_ATTR_RDONLY, 0x1],
  [NOSUID, 0x2],
  [NODEV, 0x4],
  [NOEXEC, 0x8],
];
const ST_NOATIME = 0x400;
const ST_NODIRATIME = 0x800;
const ST_RELATIME = 0x1000;

/**
 * The statfs(2) flags that a source must have so that the options clear nothing that is locked in a user namespace: a mask
 * and the expected value. An access time mode, if set, must be the source's own.
 */
export function lockedFlags(o: MountOptions): [mask: number, value: number] {
  let mask = 0;
  let value = 0;
  for (const [attribute, flag] of STATFS_FLAGS) if (o.clear & attribute && !(o.set & attribute)) mask |= flag;
  if (o.accessTimes && o.clear & ATIME) {
    mask |= ST_NOATIME | ST_RELATIME;
    value |= o.set & NOATIME ? ST_NOATIME : o.set & STRICTATIME ? 0 : ST_RELATIME;
  }
  if (o.set & NODIRATIME) {
    mask |= ST_NODIRATIME;
    value |= ST_NODIRATIME;
  }
  return [mask, value];
}
