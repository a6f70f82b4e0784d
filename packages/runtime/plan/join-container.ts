/** Operations by which a new process joins the namespaces of an existing container. */
import type { Namespace } from "@berth/oci";
import { linux } from "@berth/sys";
import type { PlanBuilder } from "./builder.ts";
import { CLONE_FLAGS, joinOrder } from "./operations.ts";

/** A container's init process, with its start time in clock ticks since boot. */
export interface FirstProcess {
  pid: number;
  startTime: number;
}

const NAMESPACE_FILES: Readonly<Record<string, string>> = { mount: "mnt", network: "net" };

/**
 * Adds the operations by which the go-between joins the container's namespaces of these types. Their descriptors are closed
 * before the new process starts. Returns their slots by type.
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
