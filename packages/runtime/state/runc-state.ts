/**
 * runc's state.json for a container: the fields by which runc's commands find and end its processes.
 *
 * Whoever shares a root between runc and berth-runc uses runc's commands on all that is there: `runc list`, and
 * `runc delete --force`, which removes the folder of a container that it cannot read and leaves its processes running.
 */
import type { ContainerRecord } from "./record.ts";

/** Namespaces by the specification's type, in runc's names and the kernel's. */
const NAMESPACES: Readonly<Record<string, readonly [string, string]>> = {
  cgroup: ["NEWCGROUP", "cgroup"],
  ipc: ["NEWIPC", "ipc"],
  mount: ["NEWNS", "mnt"],
  network: ["NEWNET", "net"],
  pid: ["NEWPID", "pid"],
  time: ["NEWTIME", "time"],
  user: ["NEWUSER", "user"],
  uts: ["NEWUTS", "uts"],
};

/** The content of state.json for a container that has a process. */
export function runcState(record: ContainerRecord): object {
  const { id, pid, cgroup, bundle, rootfs, namespaces } = record;
  const known = namespaces.flatMap((type) => (NAMESPACES[type] === undefined ? [] : [NAMESPACES[type]]));
  return {
    id,
    init_process_pid: pid,
    init_process_start: record.startTime,
    created: record.created,
    config: {
      rootfs,
      version: record.ociVersion,
      labels: [`bundle=${bundle}`],
      namespaces: known.map(([type]) => ({ type, path: "" })),
      // runc refuses a cgroup without a resource.
      cgroups: { ...cgroupName(record), memory: 0 },
    },
    rootless: record.owner !== 0,
    cgroup_paths: { ...cgroup.v1, ...(cgroup.unified !== undefined && { "": cgroup.unified }) },
    namespace_paths: Object.fromEntries(known.map(([type, name]) => [type, `/proc/${pid}/ns/${name}`])),
    external_descriptors: record.streams ?? [],
    intel_rdt_path: "",
  };
}

/** The cgroup by path, or by the parts of a systemd unit's name: "PREFIX-NAME.scope", or a slice's whole name. */
function cgroupName({ unit, cgroup }: ContainerRecord): object {
  if (unit === undefined) return { path: cgroup.path };
  const scope = /^([^-]*)-(.*)\.scope$/.exec(unit.unit);
  const [, prefix = "", name = unit.unit] = scope ?? [];
  return { Systemd: true, parent: unit.slice, scope_prefix: prefix, name };
}
