/** Claims an id and a cgroup for a new container, and releases them if its creation fails. */
import { BerthError, isCode } from "@berth/base";
import type { Sys } from "@berth/sys";
import { isFrozen } from "../cgroups/freezer.ts";
import type { CgroupPaths } from "../cgroups/paths.ts";
import { cgroupPids } from "../cgroups/processes.ts";
import { type ContainerRecord, containerFiles } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { releaseCgroup } from "./release.ts";

/** Claims the id. The directory is the lock: the caller that creates it owns the container. */
export function claim(runtime: Runtime, id: string): void {
  const { sys, root } = runtime;
  const files = containerFiles(root, id);
  sys.mkdirAll(root, 0o700);
  try {
    sys.mkdir(files.folder, 0o711);
  } catch (error) {
    throw isCode(error, "already_exists") ? idInUse(id, files.folder) : error;
  }
}

/** The error for an id that is in use. */
export function idInUse(id: string, folder: string): BerthError {
  return new BerthError("already_exists", `container with given ID already exists: ${id}`, {
    stage: "state",
    path: folder,
    hint: `delete it first (berth-runc delete ${id}), or take another id`,
  });
}

/** Throws "failed_precondition" if the cgroup exists and has processes or is frozen. */
export function refuseBusyCgroup(sys: Sys, paths: CgroupPaths): void {
  const [pid] = cgroupPids(sys, paths);
  const hint = "set linux.cgroupsPath to a path of the container's own";
  if (pid !== undefined) {
    throw new BerthError(
      "failed_precondition",
      `container's cgroup is not empty: ${paths.path} holds process ${pid}`,
      { stage: "cgroup-state", hint },
    );
  }
  if (isFrozen(sys, paths)) {
    throw new BerthError("failed_precondition", `container's cgroup unexpectedly frozen: ${paths.path}`, {
      stage: "cgroup-state",
      hint,
    });
  }
}

/** Removes what a failed create has left. */
async function undo(runtime: Runtime, record: ContainerRecord): Promise<void> {
  await releaseCgroup(runtime, record);
  runtime.sys.removeTree(containerFiles(runtime.root, record.id).folder);
}

/** Runs `make`; if it throws, removes what it has created. An error of the cleanup is reported with the first one. */
export async function withUndo<T>(
  runtime: Runtime,
  record: ContainerRecord,
  make: () => Promise<T>,
): Promise<T> {
  try {
    return await make();
  } catch (error) {
    await undo(runtime, record).catch((undoError: unknown) => {
      throw new BerthError(
        "internal",
        `${BerthError.from(error).message}; and undoing it failed: ${BerthError.from(undoError).message}`,
        { stage: "create", cause: error },
      );
    });
    throw error;
  }
}
