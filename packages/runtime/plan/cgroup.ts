/** Operations that create a container's cgroup, set its limits, and join processes to it. */
import { BerthError } from "@berth/base";
import type { DeviceRule, Resources } from "@berth/oci";
import { linux } from "@berth/sys";
import { DEFAULT_DEVICE_RULES, deviceProgram, v1DeviceWrite } from "../cgroups/devices.ts";
import type { CgroupLayout } from "../cgroups/layout.ts";
import type { CgroupFacts } from "../cgroups/observe.ts";
import { type CgroupPaths, cgroupFolders } from "../cgroups/paths.ts";
import { type CgroupWrite, v1Writes, v2Writes } from "../cgroups/resources.ts";
import type { PlanBuilder } from "./builder.ts";

const utf8 = new TextEncoder();

/** The host's cgroups, and the paths of the container's. */
export interface CgroupPlan {
  layout: CgroupLayout;
  paths: CgroupPaths;
  facts: CgroupFacts;
}

const LIMIT_HINT = "boot with the controller enabled, have a cgroup delegated, or leave the limit out";

function write(b: PlanBuilder, path: string, value: string, optional = false): void {
  b.add("setup", `write ${JSON.stringify(value)} to ${path}`, "write", [path, utf8.encode(value)], {
    optional,
  });
}

function limitsV1(b: PlanBuilder, paths: CgroupPaths, writes: readonly CgroupWrite[]): void {
  for (const { controller, file, value } of writes) {
    const folder = paths.v1[controller];
    if (folder === undefined) {
      throw new BerthError(
        "failed_precondition",
        `linux.resources: ${file} needs the cgroup controller "${controller}", which this host does not have or this user may not use`,
        { stage: "cgroup", hint: LIMIT_HINT },
      );
    }
    write(b, `${folder}/${file}`, value);
  }
}

function limitsV2(b: PlanBuilder, folder: string | undefined, writes: readonly CgroupWrite[]): void {
  for (const { file, value, otherwise } of writes) {
    if (folder === undefined)
      throw new BerthError(
        "failed_precondition",
        `linux.resources: ${file} needs a cgroup, which this container has none of`,
        { stage: "cgroup", hint: LIMIT_HINT },
      );
    if (otherwise === undefined) {
      write(b, `${folder}/${file}`, value);
      continue;
    }
    b.add(
      "setup",
      `write ${JSON.stringify(value)} to ${folder}/${file}, or ${JSON.stringify(otherwise.value)} to ${otherwise.file}`,
      "write_first",
      [`${folder}/${file}`, utf8.encode(value), `${folder}/${otherwise.file}`, utf8.encode(otherwise.value)],
    );
  }
}

/** The device rules to enforce: none if the bundle has no list, as then all devices are allowed. */
function deviceRules(resources: Resources): readonly DeviceRule[] {
  return resources.devices === undefined ? [] : [...resources.devices, ...DEFAULT_DEVICE_RULES];
}

/** Adds the operations that create the cgroup and set its limits. "failed_precondition" if a controller is missing. */
export function planCgroup(b: PlanBuilder, at: CgroupPlan, resources: Resources): void {
  b.stage("cgroup");
  const { layout, paths, facts } = at;
  for (const { folder, controllers } of facts.delegate) {
    // One by one: a controller that cannot be enabled (cpu with real-time tasks) must not affect the others.
    for (const c of controllers) write(b, `${folder}/cgroup.subtree_control`, `+${c}`, true);
  }
  for (const folder of cgroupFolders(paths))
    b.add("setup", `make cgroup ${folder}`, "mkdir", [folder, 0o755]);
  for (const { folder, cpus, mems } of facts.cpusets) {
    write(b, `${folder}/cpuset.cpus`, cpus);
    write(b, `${folder}/cpuset.mems`, mems);
  }
  const rules = deviceRules(resources);
  if (layout.mode === "v2") {
    limitsV2(b, paths.unified, v2Writes(resources));
    if (rules.length > 0 && paths.unified !== undefined) {
      const slot = b.slot();
      b.add("setup", `open cgroup ${paths.unified}`, "open", [slot, paths.unified, linux.O_DIRECTORY, 0]);
      b.add("setup", `allow devices by ${rules.length} rules`, "bpf_device", [slot, deviceProgram(rules), 0]);
    }
    return;
  }
  if (resources.unified !== undefined && Object.keys(resources.unified).length > 0) {
    throw new BerthError(
      "failed_precondition",
      "invalid configuration: linux.resources.unified: this host's controllers are on cgroup version 1",
      {
        stage: "cgroup",
        hint: "use the version 1 limits (memory, cpu, pids), or boot with systemd.unified_cgroup_hierarchy=1",
      },
    );
  }
  limitsV1(b, paths, v1Writes(resources));
  const devices = paths.v1.devices;
  if (devices !== undefined) {
    for (const rule of rules) {
      const { file, value } = v1DeviceWrite(rule);
      write(b, `${devices}/${file}`, value);
    }
  }
}

/** Adds the operations by which the new process joins an existing cgroup in all hierarchies. */
export function planCgroupJoin(b: PlanBuilder, paths: CgroupPaths): void {
  b.stage("cgroup");
  // Descriptors of host cgroups are closed as soon as they are used.
  const close = (slot: number) => b.add("enter", `close slot ${slot}`, "close", [slot]);
  if (paths.unified !== undefined) {
    b.cgroupSlot = b.slot();
    b.add("setup", `open cgroup ${paths.unified}`, "open", [
      b.cgroupSlot,
      paths.unified,
      linux.O_DIRECTORY,
      0,
    ]);
    close(b.cgroupSlot);
  }
  for (const folder of new Set(Object.values(paths.v1))) {
    // Opened before namespaces are joined, as host paths are out of reach when the process itself writes to it.
    const slot = b.slot();
    b.add("setup", `open ${folder}/tasks`, "open", [slot, `${folder}/tasks`, linux.O_WRONLY, 0]);
    b.add("enter", `enter ${folder}`, "enter_cgroup", [slot]);
    close(slot);
  }
}
