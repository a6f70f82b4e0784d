/** Launch settings shared by create and exec. */
import { BerthError, stage } from "@berth/base";
import type { Process, Spec } from "@berth/oci";
import type { CgroupPaths } from "../cgroups/paths.ts";
import type { Attachment } from "../plan/launch-plan.ts";
import type { ContainerRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";

/** How a process is launched, besides its OCI configuration. */
export interface LaunchSettings {
  attachment: Attachment;
  /** Descriptors 0 to 2 of berth-init and, with attachment "inherit", of the process. */
  stdio: readonly [number, number, number];
  /** Descriptors that become the plan's slots 0, 1, and so on. */
  inherited: readonly number[];
  /** Slots that become the process's descriptors 3, 4, and so on. */
  preserved: readonly number[];
  noNewKeyring: boolean;
  /** Slot of a connected unix socket to send the process's pidfd to. */
  pidfdSocket?: number;
}

/** The tag by which the keeper of a launch can be found. */
export function launchTag({ attachment }: LaunchSettings): { tag?: string } {
  return attachment.kind === "keeper" ? { tag: attachment.keeper.exitName } : {};
}

/** Checks that the terminal's master has a receiver exactly if process.terminal is set. */
export function checkTerminal(process: Process, attachment: Attachment): void {
  if (process.terminal && attachment.kind === "inherit") {
    throw new BerthError(
      "invalid_argument",
      "cannot allocate tty if runc will detach without setting console socket",
      { stage: "console", hint: "pass --console-socket, or set process.terminal to false" },
    );
  }
  if (!process.terminal && attachment.kind === "console-socket") {
    throw new BerthError(
      "invalid_argument",
      "cannot use console socket if runc will not detach or allocate tty",
      { stage: "console", hint: "set process.terminal to true, or leave --console-socket out" },
    );
  }
}

/**
 * Calls `start`, which launches the container's process. With the systemd driver, starts the container's unit first, and
 * passes the unit's cgroup, which the process has to join.
 */
export async function withUnit<T>(
  runtime: Runtime,
  spec: Spec,
  record: ContainerRecord,
  start: (cgroup: CgroupPaths | undefined) => Promise<T>,
): Promise<T> {
  if (record.unit === undefined) return start(undefined);
  const { startUnit } = await import("../systemd/cgroup.ts");
  const unit = await stage("systemd", { unit: record.unit.unit }, () => startUnit(runtime, spec, record));
  try {
    record.cgroup = unit.paths;
    return await start(unit.paths);
  } finally {
    unit.release();
  }
}
