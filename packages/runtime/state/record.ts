/**
 * What the runtime keeps of a container, in its folder below the runtime's root:
 *
 * - `state.json`: the {@link ContainerRecord}, replaced as a whole; written before anything is done that would have to
 *   be undone
 * - `spec.json`: the config.json that the container was created from, with the device rules of its last update
 * - `exec.fifo`: there as long as the container waits for `start`
 * - `notify`: folder of the socket that stands for the service manager's, where there is one
 * - `exec.report`: what went wrong between `start` and the program
 */
import { BerthError } from "@berth/base";
import { parseJson, type Spec } from "@berth/oci";
import type { Sys } from "@berth/sys";
import type { CgroupPaths } from "../cgroups/paths.ts";
import type { Operation } from "../plan/operations.ts";
import type { RdtGroups } from "../rdt/groups.ts";

/** A container's unit with the systemd cgroup driver. */
export interface UnitName {
  /** "runc-abc.scope", or a slice's own name. */
  unit: string;
  slice: string;
}

/** A container as state.json holds it. */
export interface ContainerRecord {
  version: 1;
  ociVersion: string;
  id: string;
  /** Host pid of the first process; 0 while it is being created. */
  pid: number;
  /** Its start time in clock ticks since boot: tells it from a later process of the same pid. */
  startTime: number;
  bundle: string;
  rootfs: string;
  /** RFC 3339. */
  created: string;
  /** uid of who created it. */
  owner: number;
  annotations?: Record<string, string>;
  cgroup: CgroupPaths;
  /** resctrl groups of its processes. */
  rdt?: RdtGroups;
  /** The systemd unit that the cgroup belongs to; none: the cgroup is the runtime's own. */
  unit?: UnitName;
  /** Namespace types that are not the host's. */
  namespaces: string[];
  /** What descriptors 0 to 2 of the process led to when it began: "pipe:[123]". */
  streams?: string[];
  /** The plan's last operations, from `index` of its child section on: those that run after `start`. */
  tail?: { index: number; operations: Operation[] };
}

/** Paths of a container's files. */
export function containerFiles(root: string, id: string) {
  const folder = `${root}/${id}`;
  return {
    folder,
    state: `${folder}/state.json`,
    spec: `${folder}/spec.json`,
    fifo: `${folder}/exec.fifo`,
    report: `${folder}/exec.report`,
    notify: `${folder}/notify`,
  };
}

/** Refuses what is no container id: runc's rule, which also keeps ids from naming other folders. */
export function checkId(id: string): void {
  if (!/^[\w+.-]+$/.test(id) || id === "." || id === ".." || id.length > 1024) {
    throw new BerthError(
      "invalid_argument",
      `invalid container id format: found ${JSON.stringify(id)}, expected letters, digits and any of _ + - .`,
      { stage: "state" },
    );
  }
}

/** Start time of a process in clock ticks since boot (field 22 of proc_pid_stat(5)), and its state letter. */
export function processStat(
  sys: Sys,
  pid: number,
): { startTime: number; state: string; parent: number } | undefined {
  const text = pid > 0 ? sys.readTextIfAny(`/proc/${pid}/stat`) : undefined;
  if (text === undefined) return undefined;
  // The name is in parentheses and may hold any character.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { startTime: Number(fields[19]), state: fields[0]!, parent: Number(fields[1]) };
}

/** Tells whether the container's first process still runs (a zombie has ended). */
export function isAlive(sys: Sys, record: ContainerRecord): boolean {
  const stat = processStat(sys, record.pid);
  return (
    stat !== undefined && stat.startTime === record.startTime && stat.state !== "Z" && stat.state !== "X"
  );
}

/** Writes state.json. */
export function writeRecord(sys: Sys, root: string, record: ContainerRecord): void {
  sys.replaceFile(containerFiles(root, record.id).state, JSON.stringify(record));
}

/** Reads a container's record; "not_found" in runc's words when there is none. */
export function readRecord(sys: Sys, root: string, id: string): ContainerRecord {
  checkId(id);
  const files = containerFiles(root, id);
  const text = sys.readTextIfAny(files.state);
  if (text === undefined) {
    throw new BerthError("not_found", `container does not exist: ${id}`, {
      stage: "state",
      path: files.state,
      hint: "`berth-runc list` shows the containers below this root",
    });
  }
  return parseJson(text, files.state) as ContainerRecord;
}

/** Reads the config.json that a container was created from. */
export function readCreatedSpec(sys: Sys, root: string, id: string): Spec {
  const path = containerFiles(root, id).spec;
  return parseJson(sys.readText(path), path) as Spec;
}
