/** update: changes the limits of a live container. */
import { BerthError } from "@berth/base";
import {
  type DeviceRule,
  type IntelRdt,
  parseJson,
  type Resources,
  stringifyJson,
  validateResources,
} from "@berth/oci";
import { changeLimits } from "../cgroups/change.ts";
import { membersOf } from "../state/members.ts";
import {
  type ContainerRecord,
  containerFiles,
  readCreatedSpec,
  readRecord,
  writeRecord,
} from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { statusOf } from "../state/status.ts";

/** Applies linux.resources given as JSON; limits that it does not set are kept. */
export async function update(runtime: Runtime, id: string, json: string): Promise<void> {
  await updateResources(runtime, id, validateResources(parseJson(json, "resources")));
}

/** Applies limits to a container that has not stopped. */
export async function updateResources(runtime: Runtime, id: string, resources: Resources): Promise<void> {
  const { sys, root } = runtime;
  const record = readRecord(sys, root, id);
  if (statusOf(sys, root, record) === "stopped")
    throw new BerthError("failed_precondition", "container not running", { stage: "update" });
  const v2 = runtime.layout().mode === "v2";
  // Engines repeat the device rules of the container's creation, which are in force already.
  const { devices, ...rest } = resources;
  const sameDevices =
    devices === undefined ||
    stringifyJson(devices) === stringifyJson(readCreatedSpec(sys, root, id).linux?.resources?.devices ?? []);
  if (!v2 && Object.keys(resources.unified ?? {}).length > 0) {
    throw new BerthError(
      "failed_precondition",
      "resources.unified: this host's controllers are on cgroup version 1",
      { stage: "update" },
    );
  }
  changeLimits(sys, v2, record.cgroup, sameDevices || v2 ? rest : resources);
  if (!sameDevices) await changeDevices(runtime, record, devices, v2);
  if (record.unit === undefined) return;
  const { updateUnit } = await import("../systemd/cgroup.ts");
  await updateUnit(runtime, record.unit, sameDevices ? rest : resources);
}

/** Replaces device rules on version 2 (on version 1 they are written already), and records them for the next update. */
async function changeDevices(
  runtime: Runtime,
  record: ContainerRecord,
  devices: readonly DeviceRule[],
  v2: boolean,
): Promise<void> {
  const { sys, root } = runtime;
  if (v2) {
    const { replaceDeviceRules } = await import("./device-rules.ts");
    await replaceDeviceRules(runtime, record, devices);
  }
  const spec = readCreatedSpec(sys, root, record.id);
  const linux = { ...spec.linux, resources: { ...spec.linux?.resources, devices: [...devices] } };
  sys.replaceFile(containerFiles(root, record.id).spec, stringifyJson({ ...spec, linux }));
}

/** Changes the schemata of a container's Intel RDT class; a container without a class gets one. */
export async function updateRdt(
  runtime: Runtime,
  id: string,
  schemas: Pick<IntelRdt, "l3CacheSchema" | "memBwSchema">,
): Promise<void> {
  const { sys, root } = runtime;
  const record = readRecord(sys, root, id);
  const { changeSchemata, checkRdt, newClass } = await import("../rdt/change.ts");
  checkRdt(sys, schemas);
  const lines = [schemas.l3CacheSchema, schemas.memBwSchema].filter((line) => !!line) as string[];
  if (statusOf(sys, root, record) === "stopped")
    throw new BerthError("failed_precondition", "container not running", { stage: "update" });
  if (record.rdt !== undefined) return changeSchemata(sys, record.rdt, lines);
  newClass(
    sys,
    id,
    lines,
    () => membersOf(sys, record),
    (rdt) => writeRecord(runtime, { ...record, rdt }),
  );
}
