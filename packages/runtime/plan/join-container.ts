/** Operations that put a new process into the namespaces of a container that is there. */
import type { Namespace } from "@berth/oci";
import { linux } from "@berth/sys";
import type { PlanBuilder } from "./builder.ts";
import { CLONE_FLAGS, joinOrder } from "./operations.ts";

/** A container's first process and its start time in clock ticks since boot. */
export interface FirstProcess {
  pid: number;
  startTime: number;
}

const NAMESPACE_FILES: Readonly<Record<string, string>> = { mount: "mnt", network: "net" };

/**
 * Adds the joining of `types` of the container's namespaces by the go-between. The new process holds none of their
 * descriptors. Returns the slots that they are in until then, by type.
 */
export function planJoinContainer(
  b: PlanBuilder,
  { pid, startTime }: FirstProcess,
  types: readonly Namespace["type"][],
  uid: number,
): ReadonlyMap<string, number> {
  const proc = b.slot();
  b.stage("namespaces");
  b.add("setup", `open /proc/${pid}`, "open", [proc, `/proc/${pid}`, linux.O_DIRECTORY, 0]);
  b.add("setup", `check that it is still the container's process`, "check_start", [proc, startTime]);
  const slots = new Map<string, number>();
  for (const type of joinOrder(uid)) {
    if (!(types as readonly string[]).includes(type)) continue;
    const slot = b.slot();
    slots.set(type, slot);
    b.add("setup", `open its ${type} namespace`, "open_at", [
      slot,
      proc,
      `ns/${NAMESPACE_FILES[type] ?? type}`,
      0,
    ]);
  }
  b.add("setup", `close /proc/${pid}`, "close", [proc]);
  for (const [type, slot] of slots)
    b.add("join", `join its ${type} namespace`, "setns", [
      slot,
      CLONE_FLAGS[type as keyof typeof CLONE_FLAGS],
    ]);
  for (const [type, slot] of slots) b.add("join", `close its ${type} namespace`, "close", [slot]);
  return slots;
}
