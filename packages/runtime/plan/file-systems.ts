/** Operations for mounts of new file systems: tmpfs, proc, sysfs and so on. */
import { linux } from "@berth/sys";
import type { PlanBuilder } from "./builder.ts";
import { addParameter, FSCONFIG_CMD_CREATE, FSCONFIG_SET_STRING } from "./mount-api.ts";
import type { MountOptions } from "./mount-options.ts";
import { attach, type MountContext, openTarget, setAttributes } from "./mount-steps.ts";
import { FOLDER } from "./targets.ts";

/** Ignored errors of a mount point that is missing or unusable; creating it reports the error. */
const IGNORED_MODE_ERRORS = [
  linux.ENOENT,
  linux.ENOTDIR,
  linux.EACCES,
  linux.ELOOP,
  linux.ENAMETOOLONG,
] as const;

/** Kernel file systems, which do not take a context= option. */
const UNLABELLED = new Set(["proc", "sysfs", "cgroup", "cgroup2", "mqueue"]);

/** Creates a detached mount of a new file system; returns its slot. */
export function newFileSystem(
  b: PlanBuilder,
  type: string,
  source: string,
  o: MountOptions,
  where: string,
  ctx: Pick<MountContext, "root" | "label">,
  attr: number,
): number {
  const fs = b.childSlot();
  const slot = b.childSlot();
  b.add("child", `open a ${type} file system for ${where}`, "fsopen", [fs, type]);
  if (source !== "")
    b.add("child", `set source=${source}`, "fsconfig", [fs, FSCONFIG_SET_STRING, "source", source, 0]);
  for (const parameter of o.parameters) addParameter(b, "child", fs, parameter);
  if (type === "tmpfs" && !o.parameters.some((p) => p.startsWith("mode=")))
    b.add("child", `give it the permissions that ${where} has`, "inherit_mode", [
      fs,
      ctx.root,
      where,
      ...IGNORED_MODE_ERRORS,
    ]);
  if (ctx.label && !UNLABELLED.has(type)) addParameter(b, "child", fs, `context=${ctx.label}`);
  b.add("child", `create the ${type} file system`, "fsconfig", [fs, FSCONFIG_CMD_CREATE, "", "", 0]);
  b.add("child", `mount ${type} with its options`, "fsmount", [slot, fs, attr]);
  b.release(fs);
  setAttributes(b, slot, o, true);
  return slot;
}

/** Creates a file system and mounts it; returns its slot, which stays open. */
export function newMount(
  b: PlanBuilder,
  type: string,
  source: string,
  o: MountOptions,
  where: string,
  ctx: Pick<MountContext, "root" | "label">,
  attr: number,
): number {
  const slot = newFileSystem(b, type, source, o, where, ctx, attr);
  const strict = type === "proc" || type === "sysfs" || where === "/dev";
  const to = openTarget(b, ctx.root, where, FOLDER, strict);
  if (o.copyUp) b.add("child", `copy what ${where} holds into it`, "copy_up", [to, slot]);
  attach(b, slot, to, `mount ${type} on ${where}`);
  return slot;
}
