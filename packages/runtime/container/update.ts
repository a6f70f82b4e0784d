/** update: changes a container's limits while it lives. */
import { BerthError } from "@berth/base";
import { parseJson, type Resources, stringifyJson, validateResources } from "@berth/oci";
import { changeLimits } from "../cgroups/change.ts";
import { readCreatedSpec, readRecord } from "../state/record.ts";
import { statusOf } from "../state/status.ts";
import type { Runtime } from "./context.ts";

/** Applies linux.resources given as JSON; what it does not name stays. */
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
  // Engines send the rules of the container's creation along: those hold already.
  const { devices, ...rest } = resources;
  const same =
    devices === undefined ||
    stringifyJson(devices) === stringifyJson(readCreatedSpec(sys, root, id).linux?.resources?.devices ?? []);
  if (v2 && !same) {
    throw new BerthError(
      "unimplemented",
      "resources.devices: device rules of a running container cannot be changed on cgroup version 2",
      { stage: "update", hint: "create the container anew with the rules it needs" },
    );
  }
  if (!v2 && Object.keys(resources.unified ?? {}).length > 0) {
    throw new BerthError(
      "failed_precondition",
      "resources.unified: this host's controllers are on cgroup version 1",
      { stage: "update" },
    );
  }
  changeLimits(sys, v2, record.cgroup, same ? rest : resources);
  if (record.unit === undefined) return;
  const { updateUnit } = await import("../systemd/cgroup.ts");
  await updateUnit(runtime, record.unit, resources);
}
