/** How a container's or an added process is launched. */
import { BerthError, stage } from "@berth/base";
import type { Process, Spec } from "@berth/oci";
import type { CgroupPaths } from "../cgroups/paths.ts";
import type { Attachment } from "../plan/launch-plan.ts";
import type { ContainerRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";

/** How a process is started, beside what the bundle says. */
export interface LaunchSettings {
  attachment: Attachment;
  /** Descriptors of berth-init: its own (and, with "inherit", the process's) 0 to 2. */
  stdio: readonly [number, number, number];
  /** Descriptors that become the plan's slots 0, 1, and so on. */
  inherited: readonly number[];
  /** Those slots that become the process's descriptors 3, 4, and so on. */
  preserved: readonly number[];
  noNewKeyring: boolean;
  /** Slot of a connected unix socket that gets the process's pidfd. */
  pidfdSocket?: number;
}

/** What a launch is found again by, where a keeper stays behind. */
export function launchTag({ attachment }: LaunchSettings): { tag?: string } {
  return attachment.kind === "keeper" ? { tag: attachment.keeper.exitName } : {};
}

/** A terminal needs somebody who holds its other end, and somebody who holds one needs a terminal. */
export function checkTerminal(process: Process, attachment: Attachment): void {
  const holds = attachment.kind === "console-socket" || attachment.kind === "foreground";
  if (process.terminal && attachment.kind === "inherit") {
    throw new BerthError(
      "invalid_argument",
      "cannot allocate tty if runc will detach without setting console socket",
      { stage: "console", hint: "pass --console-socket, or set process.terminal to false" },
    );
  }
  if (!process.terminal && holds && attachment.kind === "console-socket") {
    throw new BerthError(
      "invalid_argument",
      "cannot use console socket if runc will not detach or allocate tty",
      { stage: "console", hint: "set process.terminal to true, or leave --console-socket out" },
    );
  }
}

/**
 * Runs what starts the container's process; with the systemd driver, in a unit that is started first. The cgroup that
 * systemd made is handed over, as the process has to enter it.
 */
export async function inUnit<T>(
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
