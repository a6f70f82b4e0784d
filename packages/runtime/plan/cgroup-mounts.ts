/** Operations for mounts of cgroup file systems. */
import type { Mount } from "@berth/oci";
import { linux } from "@berth/sys";
import { bindMount } from "./bind-mounts.ts";
import type { PlanBuilder } from "./builder.ts";
import { newFileSystem, newMount } from "./file-systems.ts";
import { MOUNT_ATTR_RDONLY, type MountOptions } from "./mount-options.ts";
import { attach, type MountContext, openTarget } from "./mount-steps.ts";
import { FOLDER, FOLDER_MODE } from "./targets.ts";

/** Mounts cgroups: the unified hierarchy, or a tmpfs with the version 1 hierarchies and their usual symlinks. */
export function cgroupMount(b: PlanBuilder, mount: Mount, o: MountOptions, ctx: MountContext): void {
  const { layout, cgroup } = ctx;
  const single = (type: string, folder: string, where: string, parameters: string[]) => {
    if (ctx.cgroupNamespace) {
      const slot = newMount(b, type, type, { ...o, parameters, propagation: 0 }, where, ctx, o.set);
      b.release(slot);
    } else {
      bindMount(
        b,
        { destination: where, source: folder },
        { ...o, bind: "rbind", parameters: [], propagation: 0 },
        ctx,
      );
    }
  };
  if (layout.mode === "v2") {
    single("cgroup2", cgroup.unified ?? layout.unified!, mount.destination, []);
    return;
  }
  versionOneRoot(b, mount, o, ctx);
  for (const { controllers, mountpoint } of layout.v1) {
    const named = controllers[0]!.startsWith("name=");
    single(
      "cgroup",
      // Without a cgroup of its own the container sees the whole hierarchy, which the caller can read anyway.
      cgroup.v1[controllers[0]!] ?? mountpoint,
      `${mount.destination}/${lastName(mountpoint)}`,
      named ? ["none", controllers[0]!] : [...controllers],
    );
  }
}

const lastName = (path: string) => path.slice(path.lastIndexOf("/") + 1);

/** Mounts the tmpfs for the version 1 hierarchies. It is completed, and made read-only if required, before it is attached. */
function versionOneRoot(b: PlanBuilder, mount: Mount, o: MountOptions, ctx: MountContext): void {
  const base: MountOptions = { ...o, parameters: ["mode=755"], propagation: 0, clear: 0, copyUp: false };
  const slot = newFileSystem(b, "tmpfs", "tmpfs", base, mount.destination, ctx, o.set & ~MOUNT_ATTR_RDONLY);
  for (const { controllers, mountpoint } of ctx.layout.v1) {
    const name = lastName(mountpoint);
    b.release(openTarget(b, slot, `/${name}`, FOLDER));
    for (const controller of controllers)
      if (controller !== name && !controller.startsWith("name="))
        b.add("child", `link ${controller} to ${name}`, "symlink", [
          slot,
          `/${controller}`,
          name,
          FOLDER_MODE,
          linux.EEXIST,
        ]);
  }
  if (o.set & MOUNT_ATTR_RDONLY)
    b.add("child", "make it read-only", "mount_setattr", [slot, 0, MOUNT_ATTR_RDONLY, 0, 0, -1]);
  attach(b, slot, openTarget(b, ctx.root, mount.destination, FOLDER), `mount tmpfs on ${mount.destination}`);
  b.release(slot);
}
