/** Operations for device nodes and the usual links of /dev. */
import type { Device, Mount } from "@berth/oci";
import { linux } from "@berth/sys";
import type { PlanBuilder } from "./builder.ts";
import { AT_FDCWD, OPEN_TREE_CLONE } from "./rootfs.ts";
import { addTarget, FILE, FOLDER, FOLDER_MODE } from "./targets.ts";

const { EEXIST, RESOLVE_NO_SYMLINKS, S_IFBLK, S_IFCHR, S_IFIFO } = linux;

/** The nodes that the runtime-spec asks for in every container. */
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

const types = { c: S_IFCHR, u: S_IFCHR, b: S_IFBLK, p: S_IFIFO } as const;

/** A /dev that is bound from elsewhere has its own nodes. */
export function ownsDev(mounts: readonly Mount[]): boolean {
  return !mounts.some(
    (m) =>
      m.destination.replace(/\/+$/, "") === "/dev" &&
      (m.type === "bind" || m.options?.some((o) => o === "bind" || o === "rbind")),
  );
}

/** Adds the operations that make nodes; in a user namespace mknod(2) is refused, so the host's are bound. */
export function planDevices(
  b: PlanBuilder,
  root: number,
  devices: readonly Device[],
  userNamespace: boolean,
  hasConsole: boolean,
): void {
  b.stage("devices");
  // All that goes to /dev goes into that very folder: a link in its place could lead to a volume of the host's
  // (CVE-2026-41579, CVE-2026-47766).
  const dev = b.childSlot();
  addTarget(b, "open /dev, which must be no link", dev, [root, "/dev"], FOLDER, RESOLVE_NO_SYMLINKS);
  const place = (path: string): [number, string] =>
    path.startsWith("/dev/") ? [dev, path.slice("/dev".length)] : [root, path];
  const wanted = new Map(DEFAULT_DEVICES.map((d) => [d.path, d]));
  for (const device of devices)
    if (device.path !== "/dev/console" && device.path !== "/dev/ptmx") wanted.set(device.path, device);
  for (const device of wanted.values()) {
    if (userNamespace) {
      const node = b.childSlot();
      b.add("child", `take the host's ${device.path}`, "open_tree", [
        node,
        AT_FDCWD,
        device.path,
        OPEN_TREE_CLONE,
      ]);
      const target = b.childSlot();
      addTarget(b, `find or make ${device.path}`, target, place(device.path), FILE);
      b.add("child", `mount it on ${device.path}`, "move_mount", [node, target]);
      b.release(target);
      b.release(node);
      continue;
    }
    const number = (BigInt(device.major ?? 0) << 32n) | BigInt(device.minor ?? 0);
    const mode = types[device.type] | (device.fileMode ?? 0o666);
    b.add(
      "child",
      `make ${device.path} (${device.type} ${device.major ?? 0}:${device.minor ?? 0})`,
      "mknod",
      [...place(device.path), mode, number, device.uid ?? 0, device.gid ?? 0, FOLDER_MODE],
    );
  }
  // An existing name stays as it is.
  for (const [path, to] of LINKS)
    b.add("child", `link ${path} to ${to}`, "symlink", [...place(path), to, FOLDER_MODE, EEXIST]);
  if (hasConsole) {
    const target = b.childSlot();
    addTarget(b, "make /dev/console", target, place("/dev/console"), FILE);
    b.release(target);
  }
  b.release(dev);
}
