/** delete: removes a stopped container; with force, one in any state. */
import { BerthError, isCode, log } from "@berth/base";
import { checkId, containerFiles, readCreatedSpec, readRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { statusOf } from "../state/status.ts";
import { killNow } from "./groups.ts";
import { runHooks } from "./hooks.ts";
import { releaseCgroup } from "./release.ts";

/** Deletes the container. "not_found" with runc's message if there is none, unless `force` is set. */
export async function remove(runtime: Runtime, id: string, force: boolean): Promise<void> {
  const { sys, root } = runtime;
  checkId(id);
  const files = containerFiles(root, id);
  let record: ReturnType<typeof readRecord>;
  try {
    record = readRecord(sys, root, id);
  } catch (error) {
    if (!isCode(error, "not_found")) throw error;
    // A directory without a record is left by a create that crashed.
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
    // As in runc, a container that was never started needs no force.
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
        // The specification: a failing poststop hook is logged, and deletion continues.
        log.warn(`poststop hook of ${id}: ${BerthError.from(error).message}`);
      });
    }
  }
  sys.removeTree(files.folder);
}
