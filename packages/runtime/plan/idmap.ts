/** Operations for id-mapped mounts (mount_setattr(2) with MOUNT_ATTR_IDMAP). */
import { BerthError } from "@berth/base";
import type { IdMapping, Mount } from "@berth/oci";
import type { PlanBuilder } from "./builder.ts";
import { AT_RECURSIVE } from "./mount-api.ts";
import { idMap } from "./namespaces.ts";

const MOUNT_ATTR_IDMAP = 0x100000;

/** A container's id mappings. */
export interface IdMaps {
  users: readonly IdMapping[] | undefined;
  groups: readonly IdMapping[] | undefined;
  /** Slot of the joined user namespace, whose mappings are not in config.json. */
  joined: number | undefined;
}

/** Slots of user namespaces by their mappings, for each plan: mounts with the same mappings share one. */
const namespaceSlots = new WeakMap<PlanBuilder, Map<string, number>>();

function namespaceFor(b: PlanBuilder, users: readonly IdMapping[], groups: readonly IdMapping[]): number {
  const known = namespaceSlots.get(b) ?? new Map<string, number>();
  namespaceSlots.set(b, known);
  const key = JSON.stringify([users, groups]);
  let slot = known.get(key);
  if (slot === undefined) {
    slot = b.slot();
    known.set(key, slot);
    b.add("setup", "make a user namespace to map owners by", "userns", [slot, idMap(users), idMap(groups)]);
  }
  return slot;
}

/**
 * Maps the owners of the mount in `slot` by its own mappings, or else by the container's. `where` says which process does
 * it: "setup" the parent before it starts, "child" the new process. With "lent" the new process passes the mount to the parent
 * and back, as it may not map owners itself in a user namespace.
 */
export function mapOwners(
  b: PlanBuilder,
  where: "setup" | "child" | "lent",
  slot: number,
  mount: Mount,
  recursive: boolean,
  container: IdMaps,
): void {
  const own = mount.uidMappings !== undefined && mount.gidMappings !== undefined;
  const users = own ? mount.uidMappings : container.users;
  const groups = own ? mount.gidMappings : container.groups;
  const namespace =
    users?.length && groups?.length ? namespaceFor(b, users, groups) : own ? undefined : container.joined;
  if (namespace === undefined)
    throw new BerthError(
      "invalid_argument",
      `mount on ${mount.destination}: found no mappings for an id-mapped mount, expected its own uidMappings and gidMappings, or a user namespace`,
      { stage: "mount" },
    );
  if (where === "lent") b.add("child", `lend the mount of ${mount.source} to the parent`, "lend", [slot]);
  const at = where === "lent" ? b.slot() : slot;
  const section = where === "lent" ? "mounting" : where;
  if (where === "lent") b.add(section, `borrow the mount of ${mount.source}`, "borrow", [at]);
  b.add(section, `map the owners of ${mount.source}`, "mount_setattr", [
    at,
    recursive ? AT_RECURSIVE : 0,
    MOUNT_ATTR_IDMAP,
    0,
    0,
    namespace,
  ]);
  if (where !== "lent") return;
  b.add(section, `close slot ${at}`, "close", [at]);
  b.add(section, "let the container go on", "answer", []);
}
