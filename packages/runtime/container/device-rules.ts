/** Replaces the device rules of a running container on cgroup version 2, where they are an eBPF program. */
import { BerthError } from "@berth/base";
import type { DeviceRule } from "@berth/oci";
import { linux } from "@berth/sys";
import { DEFAULT_DEVICE_RULES, deviceProgram } from "../cgroups/devices.ts";
import { launch } from "../launch/launch.ts";
import { PlanBuilder } from "../plan/builder.ts";
import type { Plan } from "../plan/operations.ts";
import type { ContainerRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";

/** Compiles the plan that replaces a cgroup's device rules. */
function compileDeviceRules(folder: string, rules: readonly DeviceRule[]): Plan {
  const b = new PlanBuilder();
  b.child = false;
  b.stage("update");
  const slot = b.slot();
  b.add("setup", `open cgroup ${folder}`, "open", [slot, folder, linux.O_DIRECTORY, 0]);
  b.add("setup", `allow devices by ${rules.length} rules instead`, "bpf_device", [
    slot,
    deviceProgram([...rules, ...DEFAULT_DEVICE_RULES]),
    1,
  ]);
  return b.build();
}

/** Replaces a container's device rules atomically: there is no moment without rules. */
export async function replaceDeviceRules(
  runtime: Runtime,
  record: ContainerRecord,
  rules: readonly DeviceRule[],
): Promise<void> {
  const folder = record.cgroup.unified;
  if (folder === undefined)
    throw new BerthError(
      "failed_precondition",
      "resources.devices: this container has no cgroup that could carry device rules",
      { stage: "update" },
    );
  const launched = await launch(runtime.sys, {
    plan: compileDeviceRules(folder, rules),
    name: record.id,
    stdio: [0, 1, 2],
    inherited: [],
  });
  await launched.exit();
}
