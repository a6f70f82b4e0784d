/**
 * What of a container CRIU cannot make again by itself: mounts that come from the host, and namespaces that were there
 * before. In an image each goes by a name; a restore says what the name now stands for. Names are those of runc, so that
 * either runtime can restore what the other has dumped. Pure.
 */
import { BerthError } from "@berth/base";
import type { Namespace, Spec } from "@berth/oci";
import type { CgroupLayout } from "../cgroups/layout.ts";
import { unescapeMountinfo } from "../cgroups/layout.ts";
import type { CgroupPaths } from "../cgroups/paths.ts";

/** A mount as /proc/PID/mountinfo shows it. */
export interface MountEntry {
  /** Path of the mounted folder or file in its file system. */
  root: string;
  place: string;
}

/** Reads the text of a mountinfo file. */
export function parseMounts(mountinfo: string): MountEntry[] {
  return mountinfo
    .split("\n")
    .map((line) => line.split(" "))
    .filter((fields) => fields.length > 6)
    .map((fields) => ({ root: unescapeMountinfo(fields[3]!), place: unescapeMountinfo(fields[4]!) }));
}

/** A mount of the host's in the container. */
export interface HostMount {
  /** Path in the container, as config.json names it. */
  destination: string;
  /** Path on the host. */
  source: string;
  /** With all that is mounted below it. */
  deep: boolean;
}

const clean = (path: string) =>
  `/${path
    .split("/")
    .filter((p) => p !== "" && p !== ".")
    .join("/")}`;

/** The mounts of config.json that come from the host, in their order. */
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
        deep: options.includes("rbind"),
      });
    } else if ((mount.type === "cgroup" || mount.type === "cgroup2") && !ownCgroups) {
      if (layout.mode === "v2") out.push({ destination, source: cgroup.unified!, deep: true });
      else
        for (const { mountpoint } of layout.v1) {
          const name = mountpoint.slice(mountpoint.lastIndexOf("/") + 1);
          out.push({ destination: `${destination}/${name}`, source: mountpoint + cgroup.path, deep: true });
        }
    }
  }
  return out;
}

const below = (path: string, folder: string) => path.startsWith(folder === "/" ? "/" : `${folder}/`);

/** The name of everything that hides a file: runc's. */
const MASK = "/dev/null";
const NODES = /^\/dev\/(null|zero|full|random|urandom|tty)$/;

/**
 * For a dump: the names of the container's mounts that are the host's. `resolve` follows links in a path of the
 * container's.
 */
export function externalForDump(
  spec: Spec,
  mounts: readonly HostMount[],
  entries: readonly MountEntry[],
  resolve: (path: string) => string,
): string[] {
  const names = new Map<string, string>();
  const places = new Set(entries.map((e) => e.place));
  for (const mount of mounts) {
    const place = resolve(mount.destination);
    if (places.has(place)) names.set(place, mount.destination);
    if (!mount.deep) continue;
    for (const { place: inner } of entries)
      if (below(inner, place)) names.set(inner, mount.destination + inner.slice(place.length));
  }
  const masked = new Set((spec.linux?.maskedPaths ?? []).map(clean));
  const devices = new Set((spec.linux?.devices ?? []).map((d) => clean(d.path)));
  for (const { place, root } of entries) {
    if (names.has(place)) continue;
    if (masked.has(place) && root.endsWith("/null")) names.set(place, MASK);
    // In a user namespace, nodes are the host's.
    else if (NODES.test(place) || devices.has(place)) names.set(place, place);
  }
  return [...names].map(([place, name]) => `mnt[${place}]:${name}`);
}

/** For a restore: what every name stands for. Names that the image does not have are no harm. */
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
    // runc's name is the path without links.
    sources.set(resolve(mount.destination), mount.source);
    if (!mount.deep) continue;
    for (const { place } of hostEntries)
      if (below(place, mount.source))
        sources.set(mount.destination + place.slice(mount.source.length), place);
  }
  return [...sources].map(([name, source]) => `mnt[${name}]:${source}`);
}

/** Namespaces that CRIU leaves alone, by what the image calls them. */
const LEFT_ALONE: Readonly<Record<string, { file: string; key: string }>> = {
  network: { file: "net", key: "extRootNetNS" },
  pid: { file: "pid", key: "extRootPidNS" },
};
const JOINED: Readonly<Record<string, string>> = {
  ipc: "ipc",
  uts: "uts",
  mount: "mnt",
  user: "user",
  time: "time",
};

/** For a dump: namespaces that the container was put into, "net[INODE]:extRootNetNS". */
export function namespacesForDump(
  namespaces: readonly Namespace[],
  inodeOf: (file: string) => number,
): string[] {
  return namespaces.flatMap(({ type, path }) => {
    const kind = LEFT_ALONE[type];
    return path && kind ? [`${kind.file}[${inodeOf(kind.file)}]:${kind.key}`] : [];
  });
}

/** For a restore: namespaces that CRIU is handed, and those that it joins by path. */
export function namespacesForRestore(namespaces: readonly Namespace[]): {
  handed: { key: string; path: string }[];
  joined: { type: string; path: string }[];
} {
  const handed: { key: string; path: string }[] = [];
  const joined: { type: string; path: string }[] = [];
  for (const { type, path } of namespaces) {
    if (!path) continue;
    const kind = LEFT_ALONE[type];
    const name = JOINED[type];
    if (kind !== undefined) handed.push({ key: kind.key, path });
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
  return { handed, joined };
}
