/** Operations that create, join and configure namespaces. */
import { BerthError } from "@berth/base";
import type { IdMapping, Linux, Namespace, TimeOffset } from "@berth/oci";
import type { PlanBuilder } from "./builder.ts";
import { CLONE_FLAGS, joinOrder } from "./operations.ts";

const utf8 = new TextEncoder();

/** Splits linux.namespaces into those to create and those to join by path. */
export function sortNamespaces(namespaces: readonly Namespace[]): {
  created: Set<string>;
  joined: Namespace[];
} {
  return {
    created: new Set(namespaces.filter((n) => !n.path).map((n) => n.type)),
    joined: namespaces.filter((n) => n.path),
  };
}

/** Flags of clone3(2) for new namespaces. */
export function cloneFlags(created: ReadonlySet<string>): number {
  let flags = 0;
  // Two are created later: a cgroup namespace is rooted in the process's current cgroup, and the clocks of a time namespace
  // must be set before a process enters it.
  for (const type of created)
    if (type !== "cgroup" && type !== "time") flags |= CLONE_FLAGS[type as keyof typeof CLONE_FLAGS];
  return flags >>> 0;
}

/** Adds the joining of existing namespaces; returns their slots by type. */
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
  // The user namespace stays open, as id-mapped mounts may need it.
  for (const ns of ordered)
    if (ns.type !== "user")
      b.add("join", `close the ${ns.type} namespace ${ns.path}`, "close", [slots.get(ns.type)!]);
  return slots;
}

/** Formats mappings for /proc/PID/uid_map. */
export function idMap(mappings: readonly IdMapping[]): Uint8Array {
  return utf8.encode(mappings.map((m) => `${m.containerID} ${m.hostID} ${m.size}\n`).join(""));
}

/** The user that runs berth. */
export interface Owner {
  uid: number;
  gid: number;
  /** Whether it lacks privileges on the host: an unprivileged user, or root of a user namespace. */
  confined: boolean;
  /** Whether its user namespace denies setgroups(2) already. */
  setgroupsDenied: boolean;
  /** Paths of newuidmap(1) and newgidmap(1); undefined if they are not installed. */
  helpers: { uid: string; gid: string } | undefined;
}

/** Whether the only mapping is of the id itself, which an unprivileged user may write without a helper. */
function mapsOnlyItself(mappings: readonly IdMapping[], id: number): boolean {
  return mappings.length === 1 && mappings[0]!.size === 1 && mappings[0]!.hostID === id;
}

const mapsDirectly = (owner: Owner, mappings: readonly IdMapping[], id: number) =>
  owner.uid === 0 || mapsOnlyItself(mappings, id);

/** Whether setgroups(2) is denied in this owner's container. */
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

/**
 * Adds a time namespace. unshare(2) creates it for the process's children, so that the parent can set its clocks; then the
 * process enters it.
 */
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
