/**
 * External resources, which CRIU does not restore by itself: host mounts, and namespaces given by path. The image refers to
 * them by name, and a restore maps the names to host paths. The names are runc's, so that either runtime can restore what
 * the other has dumped. Pure.
 */
import { BerthError } from "@berth/base";
import type { Namespace, Spec } from "@berth/oci";
import type { CgroupLayout } from "../cgroups/layout.ts";
import { unescapeMountinfo } from "../cgroups/layout.ts";
import type { CgroupPaths } from "../cgroups/paths.ts";

/** An entry of /proc/PID/mountinfo. */
export interface MountEntry {
  /** Path of the mounted directory or file within its file system. */
  root: string;
  mountpoint: string;
}

/** Parses the text of a mountinfo file. */
export function parseMounts(mountinfo: string): MountEntry[] {
  return mountinfo
    .split("\n")
    .map((line) => line.split(" "))
    .filter((fields) => fields.length > 6)
    .map((fields) => ({ root: unescapeMountinfo(fields[3]!), mountpoint: unescapeMountinfo(fields[4]!) }));
}

/** A host path mounted in the container. */
export interface HostMount {
  /** Path in the container, as config.json names it. */
  destination: string;
  /** Path on the host. */
  source: string;
  /** Whether mounts below the source are included. */
  recursive: boolean;
}

const clean = (path: string) =>
  `/${path
    .split("/")
    .filter((p) => p !== "" && p !== ".")
    .join("/")}`;

/** The host mounts of config.json, in order. */
export function hostMounts(
  spec: Spec,
  bundle: string,
  layout: CgroupLayout,
  cgroup: CgroupPaths,
): HostMount[] {
  const ownCgroups = (spec.linux?.namespaces ?? []).some((n) => n.type === "cgroup");
  const out: HostMount[] = [];
  for (const mount of spec.mounts ?? []) {
    const options = mount.options ?? [];
    const destination = clean(mount.destination);
    if (mount.type === "bind" || options.includes("bind") || options.includes("rbind")) {
      const source = mount.source ?? "";
      out.push({
        destination,
        source: clean(source.startsWith("/") ? source : `${bundle}/${source}`),
        recursive: options.includes("rbind"),
      });
    } else if ((mount.type === "cgroup" || mount.type === "cgroup2") && !ownCgroups) {
      if (layout.mode === "v2") out.push({ destination, source: cgroup.unified!, recursive: true });
      else
        for (const { mountpoint } of layout.v1) {
          const name = mountpoint.slice(mountpoint.lastIndexOf("/") + 1);
          out.push({
            destination: `${destination}/${name}`,
            source: mountpoint + cgroup.path,
            recursive: true,
          });
        }
    }
  }
  return out;
}

const isBelow = (path: string, folder: string) => path.startsWith(folder === "/" ? "/" : `${folder}/`);

/** runc's name for every mount that masks a file. */
const MASK = "/dev/null";
const NODES = /^\/dev\/(null|zero|full|random|urandom|tty)$/;

/**
 * For a dump: names of the container's host mounts, "mnt[MOUNTPOINT]:NAME". `resolve` follows symlinks in a path of the
 * container.
 */
export function externalForDump(
  spec: Spec,
  mounts: readonly HostMount[],
  entries: readonly MountEntry[],
  resolve: (path: string) => string,
): string[] {
  const names = new Map<string, string>();
  const mountpoints = new Set(entries.map((e) => e.mountpoint));
  for (const mount of mounts) {
    const outer = resolve(mount.destination);
    if (mountpoints.has(outer)) names.set(outer, mount.destination);
    if (!mount.recursive) continue;
    for (const { mountpoint: inner } of entries)
      if (isBelow(inner, outer)) names.set(inner, mount.destination + inner.slice(outer.length));
  }
  const masked = new Set((spec.linux?.maskedPaths ?? []).map(clean));
  const devices = new Set((spec.linux?.devices ?? []).map((d) => clean(d.path)));
  for (const { mountpoint, root } of entries) {
    if (names.has(mountpoint)) continue;
    if (masked.has(mountpoint) && root.endsWith("/null")) names.set(mountpoint, MASK);
    // In a user namespace, device nodes are bound from the host.
    else if (NODES.test(mountpoint) || devices.has(mountpoint)) names.set(mountpoint, mountpoint);
  }
  return [...names].map(([mountpoint, name]) => `mnt[${mountpoint}]:${name}`);
}

/** For a restore: the host path of every name, "mnt[NAME]:SOURCE". CRIU ignores names that the image does not use. */
export function externalForRestore(
  spec: Spec,
  mounts: readonly HostMount[],
  hostEntries: readonly MountEntry[],
  resolve: (path: string) => string,
): string[] {
  const sources = new Map<string, string>([[MASK, MASK]]);
  for (const path of ["null", "zero", "full", "random", "urandom", "tty"])
    sources.set(`/dev/${path}`, `/dev/${path}`);
  for (const { path } of spec.linux?.devices ?? []) sources.set(clean(path), path);
  for (const mount of mounts) {
    sources.set(mount.destination, mount.source);
    // runc's name is the path with symlinks resolved.
    sources.set(resolve(mount.destination), mount.source);
    if (!mount.recursive) continue;
    for (const { mountpoint } of hostEntries)
      if (isBelow(mountpoint, mount.source))
        sources.set(mount.destination + mountpoint.slice(mount.source.length), mountpoint);
  }
  return [...sources].map(([name, source]) => `mnt[${name}]:${source}`);
}

/** Namespaces that CRIU treats as external, with their names in the image. */
const EXTERNAL: Readonly<Record<string, { file: string; key: string }>> = {
  network: { file: "net", key: "extRootNetNS" },
  pid: { file: "pid", key: "extRootPidNS" },
};
/** Namespaces that CRIU joins by path, with its names for their types. */
const JOINED: Readonly<Record<string, string>> = {
  ipc: "ipc",
  uts: "uts",
  mount: "mnt",
  user: "user",
  time: "time",
};

/** For a dump: external namespaces, "net[INODE]:extRootNetNS". */
export function namespacesForDump(
  namespaces: readonly Namespace[],
  inodeOf: (file: string) => number,
): string[] {
  return namespaces.flatMap(({ type, path }) => {
    const kind = EXTERNAL[type];
    return path && kind ? [`${kind.file}[${inodeOf(kind.file)}]:${kind.key}`] : [];
  });
}

/** For a restore: namespaces whose descriptors are passed to CRIU, and those that it joins by path. */
export function namespacesForRestore(namespaces: readonly Namespace[]): {
  passed: { key: string; path: string }[];
  joined: { type: string; path: string }[];
} {
  const passed: { key: string; path: string }[] = [];
  const joined: { type: string; path: string }[] = [];
  for (const { type, path } of namespaces) {
    if (!path) continue;
    const kind = EXTERNAL[type];
    const name = JOINED[type];
    if (kind !== undefined) passed.push({ key: kind.key, path });
    else if (name !== undefined) joined.push({ type: name, path });
    else
      throw new BerthError(
        "unimplemented",
        `linux.namespaces: criu cannot restore into the ${type} namespace ${path}`,
        {
          stage: "criu",
          hint: "leave its path out",
        },
      );
  }
  return { passed, joined };
}
