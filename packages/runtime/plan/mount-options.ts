/** Mount options of config.json (mount(8)'s words) as attributes, propagation and file system parameters. Pure. */
import { BerthError } from "@berth/base";

export const MOUNT_ATTR_RDONLY = 0x1;
const NOSUID = 0x2;
const NODEV = 0x4;
const NOEXEC = 0x8;
const ATIME = 0x70; // mask: relatime is 0
const NOATIME = 0x10;
const STRICTATIME = 0x20;
const NODIRATIME = 0x80;
const NOSYMFOLLOW = 0x200000;

/** What an option sets and clears among the MOUNT_ATTR_* bits (mount_setattr(2)). */
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

/** Words after which access times are kept as they say and as no source of a bind mount had them. */
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

/** crun's own. */
const UNSUPPORTED = new Set(["copy-symlink", "dest-nofollow", "src-nofollow"]);

/** A mount's options, sorted by what they are. */
export interface MountOptions {
  readonly bind: "no" | "bind" | "rbind";
  readonly remount: boolean;
  readonly set: number;
  readonly clear: number;
  /** Some word is about attributes; some word asks for a way to keep access times. */
  readonly attributes: boolean;
  readonly accessTimes: boolean;
  /** The same for the mounts below it: "rro", "rnosuid" and so on. */
  readonly recursiveSet: number;
  readonly recursiveClear: number;
  /** MS_PRIVATE and so on; 0: leave it. */
  readonly propagation: number;
  readonly recursivePropagation: boolean;
  /** Map owners: of this mount, or of those below it too. */
  readonly idmap: "no" | "idmap" | "ridmap";
  /** A tmpfs starts with what the image has there. */
  readonly copyUp: boolean;
  /** Parameters of the file system: "size=64m", "gid=5", "newinstance". */
  readonly parameters: readonly string[];
}

/** Number of a propagation word, with or without the leading "r"; undefined when it is none. */
export function propagationFlag(word: string): { flag: number; recursive: boolean } | undefined {
  const plain = PROPAGATIONS[word];
  if (plain !== undefined) return { flag: plain, recursive: false };
  const deep = word.startsWith("r") ? PROPAGATIONS[word.slice(1)] : undefined;
  return deep === undefined ? undefined : { flag: deep, recursive: true };
}

/** Sorts options; `where` names the mount in errors. Unknown words are the file system's own. */
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
    const spread = propagationFlag(option);
    if (option === "bind" || option === "rbind") {
      if (bind !== "rbind") bind = option;
    } else if (option === "remount") {
      remount = true;
    } else if (attribute !== undefined) {
      attributes = true;
      accessTimes ||= ACCESS_TIMES.has(option);
      // The last word of a pair wins, as with mount(8).
      set = (set & ~attribute[1]) | attribute[0];
      clear = (clear & ~attribute[0]) | attribute[1];
    } else if (recursive !== undefined) {
      recursiveSet = (recursiveSet & ~recursive[1]) | recursive[0];
      recursiveClear = (recursiveClear & ~recursive[0]) | recursive[1];
    } else if (spread !== undefined) {
      propagation = spread.flag;
      recursivePropagation = spread.recursive;
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
  // With an atime mode set, the kernel wants the whole field cleared first.
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
 * What a bind mount sets and clears. One with any attribute has those it names and none of its source's, as with
 * mount(2)'s MS_REMOUNT: access times alone stay where no word is about them. Below a user namespace the source's
 * restrictions stay unless they are named, as the kernel locks them there.
 */
export function bindAttributes(o: MountOptions, userNamespace: boolean): [set: number, clear: number] {
  if (!o.attributes) return [0, 0];
  const restrictions = userNamespace ? 0 : MOUNT_ATTR_RDONLY | NOSUID | NODEV | NOEXEC;
  const times = o.accessTimes && !userNamespace ? ATIME | NODIRATIME : 0;
  const unnamed = (restrictions | NOSYMFOLLOW | times) & ~(o.set & ~ATIME);
  // Words such as "nostrictatime" take back what was said before, and leave a locked mode as it is.
  const clear = userNamespace && !o.accessTimes ? o.clear & ~(ATIME | NODIRATIME) : o.clear;
  return [o.set, clear | unnamed];
}

/** Superblock flags that fsconfig(2) knows for every file system. */
const SUPERBLOCK = ["dirsync", "lazytime", "mand", "sync"];

/** All mount options that mean something to this runtime, as `features` lists them. */
export function mountOptionNames(): string[] {
  const attributes = Object.keys(ATTRIBUTES);
  const spreads = Object.keys(PROPAGATIONS);
  return [
    "bind",
    "idmap",
    "rbind",
    "remount",
    "ridmap",
    "tmpcopyup",
    ...attributes,
    ...attributes.map((word) => `r${word}`),
    ...spreads,
    ...spreads.map((word) => `r${word}`),
    ...IGNORED,
    ...SUPERBLOCK,
  ].sort();
}

/** Attributes that the kernel locks, and the flags of statfs(2) that show them. */
const SHOWN: readonly (readonly [attribute: number, flag: number])[] = [
  [MOUNT_ATTR_RDONLY, 0x1],
  [NOSUID, 0x2],
  [NODEV, 0x4],
  [NOEXEC, 0x8],
];
const ST_NOATIME = 0x400;
const ST_NODIRATIME = 0x800;
const ST_RELATIME = 0x1000;

/**
 * What a mount must be like for its options to take nothing from it that is locked in a user namespace: flags of statfs(2)
 * that matter, and their values. Whichever way an atime mode is asked for, it must be the mount's own.
 */
export function lockedFlags(o: MountOptions): [mask: number, value: number] {
  let mask = 0;
  let value = 0;
  for (const [attribute, flag] of SHOWN) if (o.clear & attribute && !(o.set & attribute)) mask |= flag;
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
