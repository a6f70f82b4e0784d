/** list, state and ps: what containers there are and what is in them. */
import { BerthError, isCode, log } from "@berth/base";
import type { ContainerStatus, State } from "@berth/oci";
import { membersOf } from "../state/members.ts";
import { type ContainerRecord, containerFiles, readRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { ociState, statusOf } from "../state/status.ts";

/** A container with what it is doing. */
export interface ContainerInfo {
  record: ContainerRecord;
  status: ContainerStatus;
  state: State;
}

/** One container; "not_found" when there is none. */
export function inspect(runtime: Runtime, id: string): ContainerInfo {
  const record = readRecord(runtime.sys, runtime.root, id);
  const status = statusOf(runtime.sys, runtime.root, record);
  return { record, status, state: ociState(record, status) };
}

/** All containers below the runtime's root, by id; one that cannot be read is told to the log and left out. */
export function list(runtime: Runtime): ContainerInfo[] {
  const { sys, root } = runtime;
  return (sys.list(root) ?? [])
    .filter((id) => !id.startsWith(".") && sys.stat(containerFiles(root, id).state) !== undefined)
    .sort()
    .flatMap((id) => {
      try {
        return [inspect(runtime, id)];
      } catch (error) {
        // One may go while we look, and a damaged record hides no other container.
        if (!isCode(error, "not_found")) log.error(`container ${id}: ${BerthError.from(error).message}`);
        return [];
      }
    });
}

/** Host pids of a container's processes. */
export function pids(runtime: Runtime, id: string): number[] {
  const { sys, root } = runtime;
  const record = readRecord(sys, root, id);
  return membersOf(sys, record);
}
