/** Operations for config.json's mounts, in order. Targets are opened inside the root, and mounted on by descriptor. */
import { BerthError } from "@berth/base";
import type { Mount } from "@berth/oci";
import { bindMount } from "./bind-mounts.ts";
import type { PlanBuilder } from "./builder.ts";
import { cgroupMount } from "./cgroup-mounts.ts";
import { newMount } from "./file-systems.ts";
import { addParameter, FSCONFIG_CMD_RECONFIGURE } from "./mount-api.ts";
import { MOUNT_ATTR_RDONLY, type MountOptions, parseMountOptions } from "./mount-options.ts";
import { insideRoot, type MountContext, setAttributes } from "./mount-steps.ts";
import { addTarget, FOLDER } from "./targets.ts";

/** Slots of mounts that later operations use. */
export interface MountResult {
  /** Slot of the procfs on /proc, for sysctls. */
  proc: number | undefined;
  /** Slot of the file system on /dev, if it is made read-only after its nodes are created. */
  readonlyDev: number | undefined;
}

/** Changes the options of the existing mount on the destination. */
function remount(b: PlanBuilder, mount: Mount, o: MountOptions, ctx: MountContext): void {
  const slot = b.childSlot();
  addTarget(b, `find ${mount.destination}`, slot, [ctx.root, mount.destination], FOLDER);
  setAttributes(b, slot, o, false);
  if (o.parameters.length > 0 && o.bind === "no") {
    const fs = b.childSlot();
    b.add("child", `pick the file system on ${mount.destination}`, "fspick", [fs, slot]);
    for (const parameter of o.parameters) addParameter(b, "child", fs, parameter);
    b.add("child", "reconfigure it", "fsconfig", [fs, FSCONFIG_CMD_RECONFIGURE, "", "", 0]);
    b.release(fs);
  }
  b.release(slot);
}

/** Adds the operations for all mounts, in order. */
export function planMounts(b: PlanBuilder, mounts: readonly Mount[], ctx: MountContext): MountResult {
  const result: MountResult = { proc: undefined, readonlyDev: undefined };
  for (const [i, configured] of mounts.entries()) {
    b.stage("mount");
    // As in runc, a destination below the rootfs on the host means the path in the container.
    const destination = insideRoot(ctx, configured.destination) ?? configured.destination;
    const mount = { ...configured, destination };
    const where = `mounts[${i}] on ${mount.destination}`;
    const o = parseMountOptions(mount.options ?? [], where);
    const type = mount.type ?? "";
    if (o.remount) {
      remount(b, mount, o, ctx);
      continue;
    }
    if (o.bind !== "no" || type === "bind") {
      bindMount(b, mount, o.bind === "no" ? { ...o, bind: "bind" } : o, ctx);
      continue;
    }
    if (o.idmap !== "no" || mount.uidMappings !== undefined)
      throw new BerthError(
        "invalid_argument",
        `${where}: id-mapped mounts are only supported for bind mounts`,
        {
          stage: "mount",
        },
      );
    if (o.copyUp && type !== "tmpfs")
      throw new BerthError("invalid_argument", `${where}: the option tmpcopyup is only for tmpfs`, {
        stage: "mount",
      });
    if (type === "" || type === "none") {
      throw new BerthError(
        "invalid_argument",
        `${where}: found type ${JSON.stringify(type)}, expected a file system, or "bind" or "rbind" among the options`,
        { stage: "mount" },
      );
    }
    if (type === "cgroup" || type === "cgroup2") {
      cgroupMount(b, mount, o, ctx);
      continue;
    }
    const late = mount.destination === "/dev" && o.set & MOUNT_ATTR_RDONLY;
    const slot = newMount(
      b,
      type,
      mount.source ?? type,
      o,
      mount.destination,
      ctx,
      late ? o.set & ~MOUNT_ATTR_RDONLY : o.set,
    );
    if (late) result.readonlyDev = slot;
    else if (type === "proc" && mount.destination === "/proc") result.proc = slot;
    else b.release(slot);
  }
  return result;
}
