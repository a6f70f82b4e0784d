/** Makes one mount on the host, at a path of the daemon's own. */
import type { types } from "@berth/api";
import { BerthError } from "@berth/base";
import { bindAttributes, type MountOptions, parseMountOptions } from "@berth/runtime";
import { linux } from "@berth/sys";
import type { Place } from "./places.ts";
import { LOOP } from "./plan-activation.ts";

const OPEN_TREE_CLONE = 1;
const OPEN_TREE_CLOEXEC = linux.O_CLOEXEC;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
/** MOUNT_ATTR_* bits (mount_setattr(2)) and the flags of mount(2) for the same. */
const FLAGS: readonly (readonly [attribute: number, flag: number])[] = [
  [0x1, 1],
  [0x2, 2],
  [0x4, 4],
  [0x8, 8],
  [0x10, 1 << 10],
  [0x20, 1 << 24],
  [0x80, 1 << 11],
  [0x200000, 1 << 8],
];
const RDONLY = 1;
/** Options that mount(2) takes as flags. */
const WORDS: Readonly<Record<string, number>> = { sync: 16, mand: 64, dirsync: 128, lazytime: 1 << 25 };
/** Options of overlayfs that name folders. */
const OVERLAY_FOLDERS = /^(lowerdir|upperdir|workdir)=(.*)$/;
/** mount(2) takes a page of options. */
const MAX_DATA = 4095;

/** Where earlier mounts are. */
export interface Earlier {
  /** The folder of all. */
  own: Place;
  /** Loop devices by their mount points, which are links to them. */
  devices: ReadonlyMap<string, string>;
}

/**
 * Mounts at `point`. Paths below the folder of earlier mounts are reached by descriptor, without following links: a
 * mounted image must not lead elsewhere. `where` names the mount in errors.
 */
export async function makeMount(
  mount: types.Mount,
  point: string,
  { own, devices }: Earlier,
  where: string,
): Promise<void> {
  const options = parseMountOptions(mount.options, where);
  const fds: number[] = [];
  const reach = (path: string, field: string): string => {
    const device = devices.get(path);
    if (device !== undefined) return device;
    if (!own.has(path)) return path;
    const fd = own.open(path, linux.O_PATH, `${where}.${field}`);
    fds.push(fd);
    return `/proc/self/fd/${fd}`;
  };
  try {
    if (options.remount)
      throw new BerthError(
        "unimplemented",
        `${where}.options: found remount, expected a new mount: not implemented`,
      );
    if (mount.type === "bind" || options.bind !== "no") {
      checkBind(options, where);
      await bind(reach(mount.source, "source"), point, options);
    } else await mountFileSystem(mount, point, options, reach, where);
    if (options.propagation) {
      const recursive = options.recursivePropagation ? 1 << 14 : 0;
      linux.mount("", point, "", options.propagation | recursive);
    }
  } catch (error) {
    throw explain(error, mount, where);
  } finally {
    for (const fd of fds) linux.close(fd);
  }
}

/** Refuses a mount that somebody else will make, if a path of it leads through a link of an earlier mount. */
export function checkPaths(mount: types.Mount, { own, devices }: Earlier, where: string): void {
  const folders = mount.options.flatMap((option) => OVERLAY_FOLDERS.exec(option)?.[2]?.split(":") ?? []);
  for (const path of [mount.source, ...folders])
    if (own.has(path) && !devices.has(path)) linux.close(own.open(path, linux.O_PATH, where));
}

/** A bind mount has no file system parameters. */
function checkBind({ parameters }: MountOptions, where: string): void {
  if (parameters.length > 0)
    throw new BerthError(
      "unimplemented",
      `${where}.options: found ${parameters.join(", ")}, expected options of a bind mount: not implemented`,
    );
}

async function bind(source: string, point: string, options: MountOptions): Promise<void> {
  const recursive = options.bind === "rbind" ? linux.AT_RECURSIVE : 0;
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive;
  const tree = await linux.syscallAsync("open_tree", source, linux.AT_FDCWD, source, flags);
  try {
    const [set, clear] = bindAttributes(options, false);
    const attributes: [number, number, number][] = [
      [0, set, clear],
      [linux.AT_RECURSIVE, options.recursiveSet, options.recursiveClear],
    ];
    for (const [at, on, off] of attributes)
      if (on | off) {
        const memory = new BigUint64Array([BigInt(on), BigInt(off), 0n, 0n]);
        linux.syscall("mount_setattr", source, tree, "", linux.AT_EMPTY_PATH | at, memory, 32);
      }
    linux.syscall("move_mount", point, tree, "", linux.AT_FDCWD, point, MOVE_MOUNT_F_EMPTY_PATH);
  } finally {
    linux.close(tree);
  }
}

async function mountFileSystem(
  mount: types.Mount,
  point: string,
  options: MountOptions,
  reach: (path: string, field: string) => string,
  where: string,
): Promise<void> {
  let flags = 0;
  for (const [attribute, flag] of FLAGS) if (options.set & attribute) flags |= flag;
  const data: string[] = [];
  for (const parameter of options.parameters) {
    const flag = WORDS[parameter];
    if (flag !== undefined) flags |= flag;
    else if (parameter !== LOOP) data.push(mount.type === "overlay" ? reachAll(parameter, reach) : parameter);
  }
  const text = data.join(",");
  if (Buffer.byteLength(text) > MAX_DATA)
    throw new BerthError(
      "invalid_argument",
      `${where}.options: found ${Buffer.byteLength(text)} bytes, expected at most ${MAX_DATA}: invalid argument`,
    );
  const source = mount.source.startsWith("/") ? reach(mount.source, "source") : mount.source;
  const device = options.parameters.includes(LOOP)
    ? await linux.attachLoop(source, (flags & RDONLY) !== 0)
    : undefined;
  try {
    // It may read a disk: not on the event loop.
    await linux.syscallAsync("mount", point, device?.path ?? source, point, mount.type, flags, text);
  } finally {
    if (device !== undefined) linux.close(device.fd);
  }
}

/** The folders that an option of overlayfs names, each reached on its own. */
function reachAll(parameter: string, reach: (path: string, field: string) => string): string {
  const [, name, folders] = OVERLAY_FOLDERS.exec(parameter) ?? [];
  if (name === undefined || folders === undefined) return parameter;
  return `${name}=${folders
    .split(":")
    .map((folder) => reach(folder, name))
    .join(":")}`;
}

function explain(error: unknown, { type }: types.Mount, where: string): BerthError {
  const known = BerthError.from(error, "mount");
  if (known.message.startsWith(where)) return known;
  const why =
    known.errno === "ENODEV"
      ? `type: found ${JSON.stringify(type)}, expected a file system that the kernel has`
      : known.message;
  return new BerthError(known.errno === "ENODEV" ? "invalid_argument" : known.code, `${where}: ${why}`, {
    stage: "mount",
    cause: error,
    ...(known.errno === undefined ? {} : { errno: known.errno }),
  });
}
