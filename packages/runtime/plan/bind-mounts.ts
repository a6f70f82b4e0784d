/** Operations for bind mounts. */
import { BerthError } from "@berth/base";
import type { Mount } from "@berth/oci";
import type { PlanBuilder } from "./builder.ts";
import { mapOwners } from "./idmap.ts";
import { AT_FDCWD, AT_RECURSIVE, cloneFromHost, OPEN_TREE_CLONE } from "./mount-api.ts";
import { bindAttributes, lockedFlags, type MountOptions } from "./mount-options.ts";
import { attach, insideRoot, type MountContext, openTarget, setAttributes } from "./mount-steps.ts";

/**
 * Checks that options do not lift restrictions of a host mount in a user namespace. The kernel locks them for mounts that
 * are propagated to the namespace, but not for one that host root has cloned.
 */
function checkLocked(
  b: PlanBuilder,
  slot: number,
  o: MountOptions,
  source: string,
  destination: string,
): void {
  const [mask, value] = lockedFlags(o);
  if (mask !== 0)
    b.add("child", `error mounting "${source}" to rootfs at "${destination}"`, "mount_flags", [
      slot,
      mask,
      value,
    ]);
}

/** Adds a bind mount; "invalid_argument" without a source. */
export function bindMount(b: PlanBuilder, mount: Mount, o: MountOptions, ctx: MountContext): void {
  const source = mount.source ?? "";
  if (source === "") {
    throw new BerthError(
      "invalid_argument",
      `mount on ${mount.destination}: found no source, expected a path to bind`,
      { stage: "mount" },
    );
  }
  const path = source.startsWith("/") ? source : `${ctx.bundle}/${source}`;
  const recursive = o.bind === "rbind" ? AT_RECURSIVE : 0;
  const mapped = o.idmap !== "no" || mount.uidMappings !== undefined;
  const inside = insideRoot(ctx, path);
  // With fromHost the parent opens the source, as the container's root may not reach it. A source in the root file system
  // is reachable, and may exist only after earlier mounts.
  const early = ctx.fromHost && inside === undefined;
  const slot = early ? cloneFromHost(b, path, recursive) : b.childSlot();
  if (!early)
    b.add("child", `take ${path}`, "open_tree", [
      slot,
      ctx.fromHost ? ctx.root : AT_FDCWD,
      ctx.fromHost ? `.${inside}` : path,
      OPEN_TREE_CLONE | recursive,
    ]);
  const where = early ? "setup" : ctx.fromHost ? "lent" : "child";
  if (mapped) mapOwners(b, where, slot, mount, o.idmap === "ridmap", ctx.mappings);
  if (early) checkLocked(b, slot, o, path, mount.destination);
  const [set, clear] = bindAttributes(o, ctx.keepRestrictions);
  setAttributes(b, slot, { ...o, set, clear }, false);
  attach(b, slot, openTarget(b, ctx.root, mount.destination, slot), `mount ${path} on ${mount.destination}`);
  // A slot allocated by the parent is not reused.
  if (!early) b.release(slot);
}
