/** mounts: adds mounts to a live container, and removes them. */
import { BerthError, present, stage } from "@berth/base";
import { type Mount, type Namespace, parseJson, validateMounts } from "@berth/oci";
import { launch } from "../launch/launch.ts";
import { compileAddMounts, compileRemoveMounts, type MountsInput } from "../plan/compile-mounts.ts";
import { readCreatedSpec, readRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { statusOf } from "../state/status.ts";

function refuse(text: string, hint?: string): never {
  throw new BerthError("failed_precondition", text, {
    stage: "mount",
    ...present({ hint }),
  });
}

/** Parses a JSON list of mounts in config.json's format; `what` names the text in errors. */
export function parseMounts(json: string, what: string): Mount[] {
  return validateMounts(parseJson(json, what), { what });
}

/**
 * Adds or removes mounts of a created or running container. If one fails, those before it are kept. Changes are not
 * recorded: a restored container has the mounts of its config.json.
 */
export async function changeMounts(
  runtime: Runtime,
  id: string,
  action: "add" | "remove",
  mounts: readonly Mount[],
): Promise<void> {
  const { sys, root } = runtime;
  const record = readRecord(sys, root, id);
  const status = statusOf(sys, root, record);
  if (status === "stopped" || status === "creating")
    refuse(`cannot change mounts of a ${status} container`, `container ${id} is ${status}`);
  if (!record.namespaces.includes("mount"))
    refuse(`container ${id} has no mount namespace, whose mounts could be changed`);
  if (sys.uid() !== 0)
    refuse(
      "mounts of a running container are for root to change",
      "its namespaces do not see the host's paths",
    );
  const label = readCreatedSpec(sys, root, id).linux?.mountLabel;
  const input: MountsInput = {
    init: { pid: record.pid, startTime: record.startTime },
    namespaces: record.namespaces as Namespace["type"][],
    bundle: record.bundle,
    layout: runtime.layout(),
    cgroup: record.cgroup,
    label: label && sys.stat("/sys/fs/selinux/enforce") !== undefined ? label : undefined,
  };
  const plan = action === "add" ? compileAddMounts(input, mounts) : compileRemoveMounts(input, mounts);
  await stage("launch", { id }, async () => {
    const launched = await launch(sys, { plan, name: id, stdio: [0, 1, 2], inherited: [] });
    await launched.exit();
  });
}
