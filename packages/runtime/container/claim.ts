/** Taking an id and a cgroup for a new container, and giving them back when its creation fails. */
import { BerthError, isCode } from "@berth/base";
import type { Sys } from "@berth/sys";
import { isFrozen } from "../cgroups/freezer.ts";
import type { CgroupPaths } from "../cgroups/paths.ts";
import { cgroupPids } from "../cgroups/processes.ts";
import { type ContainerRecord, containerFiles } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { releaseCgroup } from "./release.ts";

/** Takes the id: the folder is the lock, whoever makes it owns the container. */
export function claim(runtime: Runtime, id: string): void {
  const { sys, root } = runtime;
  const files = containerFiles(root, id);
  sys.mkdirAll(root, 0o700);
  try {
    sys.mkdir(files.folder, 0o711);
  } catch (error) {
    throw isCode(error, "already_exists") ? taken(id, files.folder) : error;
  }
}

/** The error for an id that is in use. */
export function taken(id: string, folder: string): BerthError {
  return new BerthError("already_exists", `container with given ID already exists: ${id}`, {
    stage: "state",
    path: folder,
    hint: `delete it first (berth-runc delete ${id}), or take another id`,
  });
}

/** A cgroup that is there already must be empty, and let a process run. */
export function refuseBusyCgroup(sys: Sys, paths: CgroupPaths): void {
  const [stranger] = cgroupPids(sys, paths);
  const hint = "set linux.cgroupsPath to a path of the container's own";
  if (stranger !== undefined) {
    throw new BerthError(
      "failed_precondition",
      `container's cgroup is not empty: ${paths.path} holds process ${stranger}`,
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

/** Undoes what a failed create has made; what cannot be undone is told with the failure. */
async function undo(runtime: Runtime, record: ContainerRecord): Promise<void> {
  await releaseCgroup(runtime, record);
  runtime.sys.removeTree(containerFiles(runtime.root, record.id).folder);
}

/** Runs what makes the container; when that fails, undoes it. */
export async function withUndo<T>(
  runtime: Runtime,
  record: ContainerRecord,
  make: () => Promise<T>,
): Promise<T> {
  try {
    return await make();
  } catch (error) {
    await undo(runtime, record).catch((left: unknown) => {
      throw new BerthError(
        "internal",
        `${BerthError.from(error).message}; and undoing it failed: ${BerthError.from(left).message}`,
        { stage: "create", cause: error },
      );
    });
    throw error;
  }
}
