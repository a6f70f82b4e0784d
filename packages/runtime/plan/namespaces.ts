/** Operations that make, join and fill in namespaces. */
import { BerthError } from "@berth/base";
import type { IdMapping, Linux, Namespace, TimeOffset } from "@berth/oci";
import type { PlanBuilder } from "./builder.ts";
import { CLONE_FLAGS, joinOrder } from "./operations.ts";

const utf8 = new TextEncoder();

/** The namespaces of a bundle by type, with what is done about each. */
export function sortNamespaces(namespaces: readonly Namespace[]): {
  created: Set<string>;
  joined: Namespace[];
} {
  return {
    created: new Set(namespaces.filter((n) => !n.path).map((n) => n.type)),
    joined: namespaces.filter((n) => n.path),
  };
}

/** Flags for clone3(2). */
export function cloneFlags(created: ReadonlySet<string>): number {
  let flags = 0;
  // These two come later: a cgroup namespace is rooted where the process is, and clocks are set before anybody lives there.
  for (const type of created)
    if (type !== "cgroup" && type !== "time") flags |= CLONE_FLAGS[type as keyof typeof CLONE_FLAGS];
  return flags >>> 0;
}

/** Adds the joining of existing namespaces; returns the slots that hold them, by type. */
export function planJoin(
  b: PlanBuilder,
  joined: readonly Namespace[],
  owner: Pick<Owner, "uid">,
): Map<string, number> {
  b.stage("namespaces");
  const order = joinOrder(owner.uid);
  const ordered = [...joined].sort((x, y) => order.indexOf(x.type) - order.indexOf(y.type));
  const slots = new Map<string, number>();
  for (const ns of ordered) {
    const slot = b.slot();
    b.add("setup", `open the ${ns.type} namespace ${ns.path}`, "open", [slot, ns.path!, 0, 0]);
    slots.set(ns.type, slot);
  }
  for (const ns of ordered)
    b.add("join", `join the ${ns.type} namespace ${ns.path}`, "setns", [
      slots.get(ns.type)!,
      CLONE_FLAGS[ns.type],
    ]);
  // That of the user namespace may still be needed, to map owners by.
  for (const ns of ordered)
    if (ns.type !== "user")
      b.add("join", `close the ${ns.type} namespace ${ns.path}`, "close", [slots.get(ns.type)!]);
  return slots;
}

/** Mappings as /proc/PID/uid_map takes them. */
export function idMap(mappings: readonly IdMapping[]): Uint8Array {
  return utf8.encode(mappings.map((m) => `${m.containerID} ${m.hostID} ${m.size}\n`).join(""));
}

/** Who runs berth. */
export interface Owner {
  uid: number;
  gid: number;
  /** It has no power over the host: an ordinary user, or root of a user namespace. */
  confined: boolean;
  /** setgroups(2) is denied to it already, in the user namespace it is in. */
  setgroupsDenied: boolean;
  /** Paths of newuidmap(1) and newgidmap(1); undefined where they are not installed. */
  helpers: { uid: string; gid: string } | undefined;
}

/** A user that is not root may map itself alone; for more, helpers with the right to do so are asked. */
function mapsOnlyItself(mappings: readonly IdMapping[], id: number): boolean {
  return mappings.length === 1 && mappings[0]!.size === 1 && mappings[0]!.hostID === id;
}

const mapsDirectly = (owner: Owner, mappings: readonly IdMapping[], id: number) =>
  owner.uid === 0 || mapsOnlyItself(mappings, id);

/** Whether setgroups(2) is denied to a container of this owner's. */
export function deniesSetgroups(linux: Linux, owner: Owner): boolean {
  if (owner.setgroupsDenied) return true;
  const users = linux.namespaces?.some((n) => n.type === "user");
  return !!users && owner.uid !== 0 && mapsDirectly(owner, linux.gidMappings ?? [], owner.gid);
}

/** Adds the maps of a new user namespace. */
export function planUserNamespace(b: PlanBuilder, linux: Linux, owner: Owner): void {
  b.stage("namespaces");
  const users = linux.uidMappings ?? [];
  const groups = linux.gidMappings ?? [];
  const byHelper = (kind: "uid" | "gid", mappings: readonly IdMapping[]) => {
    if (owner.helpers === undefined)
      throw new BerthError(
        "failed_precondition",
        `linux.${kind}Mappings: user ${owner.uid} may map nobody but itself, and new${kind}map is not installed`,
        {
          stage: "namespaces",
          hint: "install the package uidmap, or map one id: the caller's own",
        },
      );
    const triples = mappings.flatMap((m) => [m.containerID, m.hostID, m.size]);
    b.add("attach", `map ${kind}s by ${owner.helpers[kind]}`, "map_ids", [owner.helpers[kind], ...triples]);
  };
  if (mapsDirectly(owner, users, owner.uid))
    b.add("attach", "map users", "write_child", ["uid_map", idMap(users)]);
  else byHelper("uid", users);
  if (deniesSetgroups(linux, owner) && !owner.setgroupsDenied)
    b.add("attach", "give up setgroups, as the kernel demands", "write_child", [
      "setgroups",
      utf8.encode("deny"),
    ]);
  if (mapsDirectly(owner, groups, owner.gid))
    b.add("attach", "map groups", "write_child", ["gid_map", idMap(groups)]);
  else byHelper("gid", groups);
}

/** The process gets a time namespace for its children, the parent sets the clocks, and the process enters it. */
export function planTimeNamespace(
  b: PlanBuilder,
  offsets: Readonly<Record<string, TimeOffset>> | undefined,
): void {
  b.stage("namespaces");
  b.add("enter", "make a time namespace", "unshare", [CLONE_FLAGS.time]);
  const lines = Object.entries(offsets ?? {}).map(
    ([clock, { secs = 0, nanosecs = 0 }]) => `${clock} ${secs} ${nanosecs}\n`,
  );
  if (lines.length > 0)
    b.add("attach", `move its clocks: ${lines.join(", ").replaceAll("\n", "")}`, "write_child", [
      "timens_offsets",
      utf8.encode(lines.join("")),
    ]);
  const slot = b.childSlot();
  b.add("child", "open the time namespace", "open", [slot, "/proc/self/ns/time_for_children", 0, 0]);
  b.add("child", "enter the time namespace", "setns", [slot, CLONE_FLAGS.time]);
  b.release(slot);
}
