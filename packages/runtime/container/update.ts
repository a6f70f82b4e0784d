/** update: changes a container's limits while it lives. */
import { BerthError } from "@berth/base";
import { parseJson, validateResources } from "@berth/oci";
import { v1Writes, v2Writes } from "../cgroups/resources.ts";
import { readRecord } from "../state/record.ts";
import type { Runtime } from "./context.ts";

/** Applies linux.resources given as JSON; what it does not name stays. Device rules are refused by name. */
export function update(runtime: Runtime, id: string, json: string): void {
  const { sys, root } = runtime;
  const record = readRecord(sys, root, id);
  const resources = validateResources(parseJson(json, "resources"));
  if (resources.devices !== undefined && resources.devices.length > 0) {
    throw new BerthError(
      "unimplemented",
      "resources.devices: device rules of a running container cannot be changed",
      { stage: "update" },
    );
  }
  const v2 = runtime.layout().mode === "v2";
  for (const { controller, file, value } of v2 ? v2Writes(resources) : v1Writes(resources)) {
    const folder = v2 ? record.cgroup.unified : record.cgroup.v1[controller];
    if (folder === undefined) {
      throw new BerthError(
        "failed_precondition",
        `${file} needs the cgroup controller "${controller}", which this host does not have`,
        { stage: "update" },
      );
    }
    sys.writeExisting(`${folder}/${file}`, value);
  }
}
