/** Operations that mask paths, make paths read-only, and set kernel parameters. */
import { BerthError } from "@berth/base";
import type { Spec } from "@berth/oci";
import { linux } from "@berth/sys";
import type { PlanBuilder } from "./builder.ts";
import { AT_FDCWD, FSCONFIG_CMD_CREATE } from "./mount-api.ts";
import { MOUNT_ATTR_RDONLY } from "./mount-options.ts";
import type { MountResult } from "./mounts.ts";

/** Ignored errors: a path that cannot be reached needs no mask. */
const UNREACHABLE = [linux.ENOTDIR, linux.EACCES] as const;

const utf8 = new TextEncoder();

/** Adds linux.readonlyPaths and linux.maskedPaths. */
export function planPaths(b: PlanBuilder, root: number, spec: Spec): void {
  b.stage("security");
  const masked = [...new Set(spec.linux?.maskedPaths ?? [])];
  for (const path of new Set(spec.linux?.readonlyPaths ?? [])) {
    b.add("child", `make ${path} read-only`, "readonly", [root, path], { ifPresent: true });
  }
  if (masked.length === 0) return;
  // Files are masked by the host's /dev/null, never by a node of the image.
  const [devNull, folder, fs] = [b.childSlot(), b.childSlot(), b.childSlot()];
  b.add("child", "take the host's /dev/null for masks", "open_tree", [devNull, AT_FDCWD, "/dev/null", 0]);
  b.add("child", "check that it is the null device", "check_device", [devNull, (1n << 32n) | 3n]);
  b.add("child", "open an empty file system for masks", "fsopen", [fs, "tmpfs"]);
  b.add("child", "create it", "fsconfig", [fs, FSCONFIG_CMD_CREATE, "", "", 0]);
  b.add("child", "mount it read-only", "fsmount", [folder, fs, MOUNT_ATTR_RDONLY]);
  for (const path of masked)
    b.add("child", `mask ${path}`, "mask", [root, path, devNull, folder, ...UNREACHABLE], {
      ifPresent: true,
    });
  for (const slot of [devNull, folder, fs]) b.release(slot);
}

/** Adds linux.sysctl, written through the container's own procfs. */
export function planSysctls(b: PlanBuilder, spec: Spec, mounts: MountResult): void {
  const sysctls = Object.entries(spec.linux?.sysctl ?? {});
  if (sysctls.length === 0) return;
  b.stage("sysctl");
  if (mounts.proc === undefined) {
    throw new BerthError(
      "invalid_argument",
      `linux.sysctl: setting ${sysctls[0]![0]} needs a mount of type proc on /proc`,
      { stage: "sysctl" },
    );
  }
  for (const [key, value] of sysctls) {
    b.add("child", `set ${key} = ${value}`, "write_in", [
      mounts.proc,
      `sys/${key.replaceAll(".", "/")}`,
      utf8.encode(value),
    ]);
  }
}
