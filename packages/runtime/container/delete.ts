/** delete: removes a stopped container; with force, one in any state. */
import { BerthError, isCode, log } from "@berth/base";
import { checkId, containerFiles, readCreatedSpec, readRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { statusOf } from "../state/status.ts";
import { killNow } from "./groups.ts";
import { runHooks } from "./hooks.ts";
import { releaseCgroup } from "./release.ts";

/** Deletes the container; "not_found" in runc's words when there is none, which `force` forgives. */
export async function remove(runtime: Runtime, id: string, force: boolean): Promise<void> {
  const { sys, root } = runtime;
  checkId(id);
  const files = containerFiles(root, id);
  let record: ReturnType<typeof readRecord>;
  try {
    record = readRecord(sys, root, id);
  } catch (error) {
    if (!isCode(error, "not_found")) throw error;
    // A folder without a record is what a crash left of an unfinished create.
    if (sys.stat(files.folder) !== undefined) sys.removeTree(files.folder);
    if (force) return;
    throw error;
  }
  const status = statusOf(sys, root, record);
  if (status === "creating" || (status !== "stopped" && force)) {
    if (status === "creating" && !force) {
      throw new BerthError(
        "failed_precondition",
        `cannot delete container ${id} that is not stopped: creating`,
        { stage: "delete", hint: "wait for its creation, or add --force" },
      );
    }
    if (record.pid !== 0) await killNow(sys, record);
  } else if (status === "created") {
    // runc too takes a container that never ran for one that may go.
    await killNow(sys, record);
  } else if (status !== "stopped") {
    throw new BerthError(
      "failed_precondition",
      `cannot delete container ${id} that is not stopped: ${status}`,
      { stage: "delete", hint: `stop it (berth-runc kill ${id} KILL), or add --force` },
    );
  }
  await releaseCgroup(runtime, record);
  if (sys.stat(files.spec) !== undefined) {
    const spec = readCreatedSpec(sys, root, id);
    if (spec.hooks?.poststop !== undefined) {
      await runHooks(runtime, "poststop", spec, record, "stopped").catch((error: unknown) => {
        // The specification: a failing poststop hook is logged, the deletion goes on.
        log.warn(`poststop hook of ${id}: ${BerthError.from(error).message}`);
      });
    }
  }
  sys.removeTree(files.folder);
}
