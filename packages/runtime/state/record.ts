/**
 * The files of a container, in its directory below the runtime's root:
 *
 * - `record.json`: the {@link ContainerRecord}, replaced atomically; written before anything is created that would have to
 *   be cleaned up
 * - `state.json`: below a root that runc may use, too, what its commands need: see {@link runcState}
 * - `spec.json`: the config.json that the container was created from, with the device rules of its last update
 * - `exec.fifo`: the gate, which exists until `start`
 * - `notify`: directory of the sd_notify(3) socket that is mounted in the container, if there is one
 * - `exec.report`: the failure between `start` and exec, if any
 */
import { BerthError } from "@berth/base";
import { parseJson, type Spec } from "@berth/oci";
import type { Sys } from "@berth/sys";
import type { CgroupPaths } from "../cgroups/paths.ts";
import type { Operation } from "../plan/operations.ts";
import type { RdtGroups } from "../rdt/groups.ts";
import { runcState } from "./runc-state.ts";
import type { Runtime } from "./runtime.ts";

/** A container's unit with the systemd cgroup driver. */
export interface UnitName {
  /** "runc-abc.scope", or a slice's own name. */
  unit: string;
  slice: string;
}

/** The content of record.json. */
export interface ContainerRecord {
  version: 1;
  ociVersion: string;
  id: string;
  /** Host pid of the init process; 0 while the container is being created. */
  pid: number;
  /** Its start time in clock ticks since boot, which detects reuse of the pid. */
  startTime: number;
  bundle: string;
  rootfs: string;
  /** Time of creation (RFC 3339). */
  created: string;
  /** uid of the user who created it. */
  owner: number;
  annotations?: Record<string, string>;
  cgroup: CgroupPaths;
  /** resctrl groups of its processes. */
  rdt?: RdtGroups;
  /** The systemd unit that the cgroup belongs to; absent with cgroupfs. */
  unit?: UnitName;
  /** Types of namespaces that are not the host's. */
  namespaces: string[];
  /** Link targets of the init process's descriptors 0 to 2 when it was created: "pipe:[123]". */
  streams?: string[];
  /** Operations that run after `start`: those of the plan's child section from `index` on. */
  tail?: { index: number; operations: Operation[] };
}

/** Paths of a container's files. */
export function containerFiles(root: string, id: string) {
  const folder = `${root}/${id}`;
  return {
    folder,
    record: `${folder}/record.json`,
    /** runc's record; in earlier versions, ours had that name. */
    runcState: `${folder}/state.json`,
    spec: `${folder}/spec.json`,
    fifo: `${folder}/exec.fifo`,
    report: `${folder}/exec.report`,
    notify: `${folder}/notify`,
  };
}

/** Validates a container id by runc's rule, which also prevents path traversal; "invalid_argument" otherwise. */
export function checkId(id: string): void {
  if (!/^[\w+.-]+$/.test(id) || id === "." || id === ".." || id.length > 1024) {
    throw new BerthError(
      "invalid_argument",
      `invalid container id format: found ${JSON.stringify(id)}, expected letters, digits and any of _ + - .`,
      { stage: "state" },
    );
  }
}

/** Reads proc_pid_stat(5): start time in clock ticks since boot (field 22), state and parent. Undefined if there is none. */
export function processStat(
  sys: Sys,
  pid: number,
): { startTime: number; state: string; parent: number } | undefined {
  const text = pid > 0 ? sys.readTextIfAny(`/proc/${pid}/stat`) : undefined;
  if (text === undefined) return undefined;
  // The name is in parentheses and may contain any character.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { startTime: Number(fields[19]), state: fields[0]!, parent: Number(fields[1]) };
}

/** Whether the container's init process is still running; a zombie is not. */
export function isAlive(sys: Sys, record: ContainerRecord): boolean {
  const stat = processStat(sys, record.pid);
  return (
    stat !== undefined && stat.startTime === record.startTime && stat.state !== "Z" && stat.state !== "X"
  );
}

/** Writes record.json, and below a root that runc may use, too, runc's state.json. */
export function writeRecord({ sys, root, shared }: Runtime, record: ContainerRecord): void {
  const files = containerFiles(root, record.id);
  sys.replaceFile(files.record, JSON.stringify(record));
  if (shared && record.pid !== 0) sys.replaceFile(files.runcState, JSON.stringify(runcState(record)));
}

/** Reads a container's record; "not_found" with runc's message if there is none. */
export function readRecord(sys: Sys, root: string, id: string): ContainerRecord {
  checkId(id);
  const files = containerFiles(root, id);
  const text = sys.readTextIfAny(files.record);
  if (text !== undefined) return parseJson(text, files.record) as ContainerRecord;
  const earlier = sys.readTextIfAny(files.runcState);
  if (earlier === undefined) {
    throw new BerthError("not_found", `container does not exist: ${id}`, {
      stage: "state",
      path: files.record,
      hint: "`berth-runc list` shows the containers below this root",
    });
  }
  const record = parseJson(earlier, files.runcState) as Partial<ContainerRecord> | null;
  if (record?.version !== 1)
    throw new BerthError("failed_precondition", `container ${id} belongs to another runtime`, {
      stage: "state",
      path: files.runcState,
      hint: "use the runtime that made it",
    });
  return record as ContainerRecord;
}

/** Whether the folder of a container has a record, be it another runtime's. */
export function hasRecord(sys: Sys, root: string, id: string): boolean {
  const files = containerFiles(root, id);
  return sys.stat(files.record) !== undefined || sys.stat(files.runcState) !== undefined;
}

/** Reads the config.json that a container was created from. */
export function readCreatedSpec(sys: Sys, root: string, id: string): Spec {
  const path = containerFiles(root, id).spec;
  return parseJson(sys.readText(path), path) as Spec;
}
