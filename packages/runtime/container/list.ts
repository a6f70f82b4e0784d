/** list, state and ps: enumerates containers and their processes. */
import { BerthError, isCode, log } from "@berth/base";
import type { ContainerStatus, State } from "@berth/oci";
import { membersOf } from "../state/members.ts";
import { type ContainerRecord, hasRecord, readRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { ociState, statusOf } from "../state/status.ts";

/** A container with its current status. */
export interface ContainerInfo {
  record: ContainerRecord;
  status: ContainerStatus;
  state: State;
}

/** Reads a container's status; "not_found" if there is no such container. */
export function inspect(runtime: Runtime, id: string): ContainerInfo {
  const record = readRecord(runtime.sys, runtime.root, id);
  const status = statusOf(runtime.sys, runtime.root, record);
  return { record, status, state: ociState(record, status) };
}

/** Lists all containers below the runtime's root, sorted by id. One that cannot be read is logged and left out. */
export function list(runtime: Runtime): ContainerInfo[] {
  const { sys, root } = runtime;
  return (sys.list(root) ?? [])
    .filter((id) => !id.startsWith(".") && hasRecord(sys, root, id))
    .sort()
    .flatMap((id) => {
      try {
        return [inspect(runtime, id)];
      } catch (error) {
        // It may be removed meanwhile, or be another runtime's; and a damaged record must not hide other containers.
        if (!isCode(error, "not_found") && !isCode(error, "failed_precondition"))
          log.error(`container ${id}: ${BerthError.from(error).message}`);
        return [];
      }
    });
}

/** Host pids of a container's processes. */
export function pids(runtime: Runtime, id: string): number[] {
  const { sys, root } = runtime;
  return membersOf(sys, readRecord(sys, root, id));
}
