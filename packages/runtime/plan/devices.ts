/** Operations for device nodes and the symlinks of /dev. */
import type { Device, Mount } from "@berth/oci";
import { linux } from "@berth/sys";
import type { PlanBuilder } from "./builder.ts";
import { AT_FDCWD, OPEN_TREE_CLONE } from "./mount-api.ts";
import { addTarget, FILE, FOLDER, FOLDER_MODE } from "./targets.ts";

const { EEXIST, RESOLVE_NO_SYMLINKS, S_IFBLK, S_IFCHR, S_IFIFO } = linux;

/** The devices that the specification requires in every container. */
const DEFAULT_DEVICES: readonly Device[] = (
  [
    ["/dev/null", 1, 3],
    ["/dev/zero", 1, 5],
    ["/dev/full", 1, 7],
    ["/dev/random", 1, 8],
    ["/dev/urandom", 1, 9],
    ["/dev/tty", 5, 0],
  ] as const
).map(([path, major, minor]) => ({ path, type: "c", major, minor, fileMode: 0o666, uid: 0, gid: 0 }));

const LINKS: readonly (readonly [path: string, target: string])[] = [
  ["/dev/fd", "/proc/self/fd"],
  ["/dev/stdin", "/proc/self/fd/0"],
  ["/dev/stdout", "/proc/self/fd/1"],
  ["/dev/stderr", "/proc/self/fd/2"],
  ["/dev/core", "/proc/kcore"],
  ["/dev/ptmx", "pts/ptmx"],
];

const FILE_TYPES = { c: S_IFCHR, u: S_IFCHR, b: S_IFBLK, p: S_IFIFO } as const;

/** Whether the runtime populates /dev; a /dev that is bind mounted has its own nodes. */
export function ownsDev(mounts: readonly Mount[]): boolean {
  return !mounts.some(
    (m) =>
      m.destination.replace(/\/+$/, "") === "/dev" &&
      (m.type === "bind" || m.options?.some((o) => o === "bind" || o === "rbind")),
  );
}

/** Adds the operations that create device nodes. In a user namespace mknod(2) fails, so the host's nodes are bound. */
export function planDevices(
  b: PlanBuilder,
  root: number,
  devices: readonly Device[],
  userNamespace: boolean,
  hasConsole: boolean,
): void {
  b.stage("devices");
  // Everything in /dev is created below this descriptor: a symlink instead of /dev could lead to a host volume
  // (CVE-2026-41579, CVE-2026-47766).
  const dev = b.childSlot();
  addTarget(b, "open /dev, which must be no link", dev, [root, "/dev"], FOLDER, RESOLVE_NO_SYMLINKS);
  const locate = (path: string): [number, string] =>
    path.startsWith("/dev/") ? [dev, path.slice("/dev".length)] : [root, path];
  const nodes = new Map(DEFAULT_DEVICES.map((d) => [d.path, d]));
  for (const device of devices)
    if (device.path !== "/dev/console" && device.path !== "/dev/ptmx") nodes.set(device.path, device);
  for (const device of nodes.values()) {
    if (userNamespace) {
      const node = b.childSlot();
      b.add("child", `take the host's ${device.path}`, "open_tree", [
        node,
        AT_FDCWD,
        device.path,
        OPEN_TREE_CLONE,
      ]);
      const target = b.childSlot();
      addTarget(b, `find or make ${device.path}`, target, locate(device.path), FILE);
      b.add("child", `mount it on ${device.path}`, "move_mount", [node, target]);
      b.release(target);
      b.release(node);
      continue;
    }
    const number = (BigInt(device.major ?? 0) << 32n) | BigInt(device.minor ?? 0);
    const mode = FILE_TYPES[device.type] | (device.fileMode ?? 0o666);
    b.add(
      "child",
      `make ${device.path} (${device.type} ${device.major ?? 0}:${device.minor ?? 0})`,
      "mknod",
      [...locate(device.path), mode, number, device.uid ?? 0, device.gid ?? 0, FOLDER_MODE],
    );
  }
  // EEXIST is ignored: an existing file is kept.
  for (const [path, to] of LINKS)
    b.add("child", `link ${path} to ${to}`, "symlink", [...locate(path), to, FOLDER_MODE, EEXIST]);
  if (hasConsole) {
    const target = b.childSlot();
    addTarget(b, "make /dev/console", target, locate("/dev/console"), FILE);
    b.release(target);
  }
  b.release(dev);
}
