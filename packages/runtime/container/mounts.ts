/** mounts: adds mounts to a container that lives, and removes them. */
import { BerthError, stage } from "@berth/base";
import { type Mount, type Namespace, parseJson, validateMounts } from "@berth/oci";
import { launch } from "../launch/launch.ts";
import { compileAddMounts, compileRemoveMounts, type MountsInput } from "../plan/compile-mounts.ts";
import { readCreatedSpec, readRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { statusOf } from "../state/status.ts";

function refuse(text: string, hint?: string): never {
  throw new BerthError("failed_precondition", text, {
    stage: "mount",
    ...(hint === undefined ? {} : { hint }),
  });
}

/** Reads a list of mounts as config.json has it; `what` names the text in errors. */
export function parseMounts(json: string, what: string): Mount[] {
  return validateMounts(parseJson(json, what), { what });
}

/**
 * Adds or removes mounts of a created or running container. Where one fails, those before it stay as they are. They are
 * not remembered: a restored container has what its config.json says.
 */
export async function changeMounts(
  runtime: Runtime,
  id: string,
  how: "add" | "remove",
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
  const plan = how === "add" ? compileAddMounts(input, mounts) : compileRemoveMounts(input, mounts);
  await stage("launch", { id }, async () => {
    const launched = await launch(sys, { plan, name: id, stdio: [0, 1, 2], inherited: [] });
    await launched.exit();
  });
}
