/**
 * Starts, updates and stops a container's unit. A scope needs an initial process: the holder, which is berth-init in its
 * pause role. The container's process then joins the cgroup as usual, and the holder is killed.
 */
import { BerthError, SIGKILL } from "@berth/base";
import type { Resources, Spec } from "@berth/oci";
import { type CgroupPaths, pathsBelow } from "../cgroups/paths.ts";
import { startSandbox } from "../launch/sandbox.ts";
import type { ContainerRecord, UnitName } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { deviceProperties, parseDeviceGroups } from "./devices.ts";
import { isDBusError, Manager } from "./manager.ts";
import { unitProperties } from "./properties.ts";
import { resourceProperties } from "./resources.ts";

/** A started unit. */
export interface StartedUnit {
  paths: CgroupPaths;
  /** Kills the holder; to be called once the container's process has joined. */
  release(): void;
}

/** Starts a container's unit, whose cgroup only contains the holder. */
export async function startUnit(runtime: Runtime, spec: Spec, record: ContainerRecord): Promise<StartedUnit> {
  const { sys } = runtime;
  const { unit } = record;
  if (unit === undefined) throw new BerthError("internal", `container ${record.id} has no unit`);
  const manager = await Manager.connect(sys);
  let holder = 0;
  const release = () => {
    if (holder !== 0) sys.kill(holder, SIGKILL);
    holder = 0;
  };
  try {
    const isSlice = unit.unit.endsWith(".slice");
    if (!isSlice) holder = (await startSandbox(runtime, { name: record.id, namespaces: [] })).pid;
    const properties = unitProperties(spec, {
      id: record.id,
      name: unit,
      pid: holder,
      unified: runtime.layout().mode === "v2",
      version: await manager.version(),
      deviceGroups: parseDeviceGroups(sys.readTextIfAny("/proc/devices") ?? ""),
    });
    try {
      await manager.startTransient(unit.unit, properties);
    } catch (error) {
      if (!isDBusError(error, "UnitExists")) throw error;
      // An existing slice is shared. A failed scope is reset and started again, which fails if the scope is running.
      if (!isSlice) {
        await manager.resetFailed(unit.unit);
        await manager.startTransient(unit.unit, properties);
      }
    }
    return { paths: pathsBelow(runtime.layout(), await manager.controlGroup(unit.unit)), release };
  } catch (error) {
    release();
    throw error;
  } finally {
    manager.close();
  }
}

/** Sets changed limits as properties, as systemd would otherwise revert them. */
export async function updateUnit(runtime: Runtime, unit: UnitName, resources: Resources): Promise<void> {
  const manager = await Manager.connect(runtime.sys);
  try {
    const context = { unified: runtime.layout().mode === "v2", version: await manager.version() };
    const groups = parseDeviceGroups(runtime.sys.readTextIfAny("/proc/devices") ?? "");
    const devices = deviceProperties(resources.devices, groups);
    const properties = resourceProperties(resources, context);
    // A list is appended to the current one; an empty list clears it.
    if (devices.length > 0) properties.push(["DeviceAllow", { signature: "a(ss)", value: [] }], ...devices);
    if (properties.length > 0) await manager.setProperties(unit.unit, properties);
  } finally {
    manager.close();
  }
}

/** Stops the unit of a container whose processes have exited; no error if the unit is gone. */
export async function stopUnit(runtime: Runtime, unit: UnitName): Promise<void> {
  const manager = await Manager.connect(runtime.sys);
  try {
    await manager.stop(unit.unit);
  } finally {
    manager.close();
  }
}
