/** Rules of config.json beyond types: fields that require or exclude one another. */
import type { Linux, NamespaceType } from "../runtime/linux.ts";
import type { IdMapping, Mount } from "../runtime/mount.ts";
import { CAPABILITIES } from "../runtime/names.ts";
import type { Process } from "../runtime/process.ts";
import type { Spec } from "../runtime/spec.ts";
import { reject } from "./check.ts";

/** Receives a warning about something odd but valid. */
export type Warn = (message: string) => void;

/** Rules of a whole spec. */
export function checkSpecRules(spec: Spec, warn: Warn): void {
  if (!/^1\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/.test(spec.ociVersion))
    reject("ociVersion", spec.ociVersion, 'a version this runtime supports, from "1.0.0" to "1.3.0"');
  if (spec.process) checkProcessRules(spec.process, "process", warn);
  (spec.mounts ?? []).forEach((mount, i) => {
    checkMount(mount, `mounts[${i}]`, warn);
  });
  const linux = spec.linux ?? {};
  const has = namespaceSet(linux);
  if (spec.hostname && !has.has("uts"))
    reject("hostname", spec.hostname, 'a namespace of type "uts" with it');
  if (spec.domainname && !has.has("uts"))
    reject("domainname", spec.domainname, 'a namespace of type "uts" with it');
  if (spec.linux) checkLinuxRules(linux, has);
}

/** Rules of a process, the container's or an additional one. */
export function checkProcessRules(process: Process, path: string, warn: Warn): void {
  if (process.args !== undefined && process.args.length === 0)
    reject(`${path}.args`, process.args, "at least the program's name");
  const user = process.user as unknown;
  if (user === undefined) process.user = { uid: 0, gid: 0 };
  else {
    // Go decodes an absent id as 0, and real bundles rely on it.
    process.user.uid ??= 0;
    process.user.gid ??= 0;
  }
  const seen = new Map<string, number>();
  (process.rlimits ?? []).forEach((limit, i) => {
    const at = `${path}.rlimits[${i}]`;
    const first = seen.get(limit.type);
    if (first !== undefined)
      reject(`${at}.type`, limit.type, `each limit once (it is also ${path}.rlimits[${first}])`);
    seen.set(limit.type, i);
    if (BigInt(limit.soft) > BigInt(limit.hard))
      reject(`${at}.soft`, limit.soft, `at most the hard limit ${limit.hard}`);
  });
  for (const [set, names] of Object.entries(process.capabilities ?? {}))
    for (const name of Array.isArray(names) ? (names as string[]) : [])
      if (!CAPABILITIES.includes(name))
        warn(`${path}.capabilities.${set}: ignoring ${name}, which is unknown here`);
  const scheduler = process.scheduler;
  if (scheduler && scheduler.policy !== "SCHED_DEADLINE") {
    for (const field of ["runtime", "deadline", "period"] as const)
      if (scheduler[field])
        reject(`${path}.scheduler.${field}`, scheduler[field], "nothing unless policy is SCHED_DEADLINE");
    const realtime = scheduler.policy === "SCHED_FIFO" || scheduler.policy === "SCHED_RR";
    if (scheduler.priority && !realtime)
      reject(`${path}.scheduler.priority`, scheduler.priority, "0 unless policy is SCHED_FIFO or SCHED_RR");
  }
}

/** Rules of one mount. */
export function checkMount(mount: Mount, path: string, warn: Warn): void {
  // 1.0 allowed relative destinations; runc still takes them as below "/", so they only get a warning.
  if (!mount.destination.startsWith("/")) {
    warn(`${path}.destination: "${mount.destination}" is relative; taken as "/${mount.destination}"`);
    mount.destination = `/${mount.destination}`;
  }
  if ((mount.uidMappings === undefined) !== (mount.gidMappings === undefined))
    reject(
      `${path}.${mount.uidMappings ? "gidMappings" : "uidMappings"}`,
      undefined,
      "both uidMappings and gidMappings, or none",
    );
  checkMappings(mount.uidMappings, `${path}.uidMappings`);
  checkMappings(mount.gidMappings, `${path}.gidMappings`);
}

function checkMappings(mappings: IdMapping[] | undefined, path: string): void {
  mappings?.forEach((mapping, i) => {
    if (mapping.size === 0) reject(`${path}[${i}].size`, 0, "at least 1");
    for (const field of ["containerID", "hostID"] as const)
      if (mapping[field] + mapping.size > 4294967296)
        reject(`${path}[${i}].size`, mapping.size, "a range that ends within 32 bits");
  });
}

function namespaceSet(linux: Linux): Set<NamespaceType> {
  const found = new Set<NamespaceType>();
  (linux.namespaces ?? []).forEach((namespace, i) => {
    if (found.has(namespace.type))
      reject(`linux.namespaces[${i}].type`, namespace.type, "each kind of namespace once");
    found.add(namespace.type);
  });
  return found;
}

function checkLinuxRules(linux: Linux, has: Set<NamespaceType>): void {
  const user = linux.namespaces?.find((n) => n.type === "user");
  for (const field of ["uidMappings", "gidMappings"] as const) {
    const mappings = linux[field];
    if (mappings?.length && !user)
      reject(`linux.${field}`, mappings, 'nothing, unless there is a namespace of type "user"');
    if (!mappings?.length && user && !user.path)
      reject(`linux.${field}`, mappings, "at least one mapping for the new user namespace");
    checkMappings(mappings, `linux.${field}`);
  }
  if (linux.timeOffsets && Object.keys(linux.timeOffsets).length > 0) {
    if (!has.has("time"))
      reject("linux.timeOffsets", linux.timeOffsets, 'nothing, unless there is a namespace of type "time"');
    for (const clock of Object.keys(linux.timeOffsets))
      if (clock !== "monotonic" && clock !== "boottime")
        reject("linux.timeOffsets", clock, 'the clocks "monotonic" and "boottime" only');
  }
  for (const field of ["maskedPaths", "readonlyPaths"] as const)
    if (linux[field]?.length && !has.has("mount"))
      reject(`linux.${field}`, linux[field], 'nothing, unless there is a namespace of type "mount"');
  for (const key of Object.keys(linux.sysctl ?? {})) checkSysctl(key, has);
  (linux.devices ?? []).forEach((device, i) => {
    if (device.type === "p") return;
    for (const field of ["major", "minor"] as const)
      if (device[field] === undefined)
        reject(`linux.devices[${i}].${field}`, undefined, `a number, as type is "${device.type}"`);
  });
  if (linux.netDevices && Object.keys(linux.netDevices).length > 0 && !has.has("network"))
    reject("linux.netDevices", linux.netDevices, 'nothing, unless there is a namespace of type "network"');
  for (const [name, device] of Object.entries(linux.netDevices ?? {}))
    for (const word of [name, device.name ?? name])
      if (!/^[^\s/:]{1,15}$/.test(word) || word === "." || word === "..")
        reject(`linux.netDevices["${name}"]`, word, "a network device's name, of 1 to 15 characters");
  if (linux.resources) checkResourceRules(linux.resources, "linux.resources");
  linux.seccomp?.syscalls?.forEach((rule, i) => {
    const path = `linux.seccomp.syscalls[${i}]`;
    if (rule.names.length === 0) reject(`${path}.names`, rule.names, "at least one system call");
    if (rule.errnoRet !== undefined && rule.action !== "SCMP_ACT_ERRNO" && rule.action !== "SCMP_ACT_TRACE")
      reject(`${path}.errnoRet`, rule.errnoRet, "nothing, as only ERRNO and TRACE have it");
  });
  const closId = linux.intelRdt?.closID;
  if (closId !== undefined && (closId === "." || closId === ".." || closId.includes("/")))
    reject("linux.intelRdt.closID", closId, "a file name");
}

/** Rules of linux.resources; a `change` updates limits that are already in place. */
export function checkResourceRules(
  resources: NonNullable<Linux["resources"]>,
  path: string,
  change = false,
): void {
  for (const key of Object.keys(resources.unified ?? {}))
    if (key === "" || key.includes("/") || key.startsWith("."))
      reject(`${path}.unified`, key, "names of files in a cgroup, without a slash");
  const idle = resources.cpu?.idle;
  if (idle !== undefined && idle !== 0 && idle !== 1) reject(`${path}.cpu.idle`, idle, "0 or 1");
  const memory = resources.memory;
  const limited = memory?.limit !== undefined && memory.limit > 0;
  if (memory?.swap !== undefined && memory.swap > 0 && !limited && !(change && memory.limit === undefined))
    reject(
      `${path}.memory.swap`,
      memory.swap,
      "a memory limit with it (swap counts memory and swap together)",
    );
  if (
    memory?.swap !== undefined &&
    memory.swap > 0 &&
    memory.limit !== undefined &&
    memory.swap < memory.limit
  )
    reject(`${path}.memory.swap`, memory.swap, `at least the memory limit ${memory.limit}`);
}

// Sysctls outside these are the host's: a container must not change them.
const IPC_SYSCTLS = "msgmax msgmnb msgmni sem shmall shmmax shmmni shm_rmid_forced"
  .split(" ")
  .map((word) => `kernel.${word}`);

function checkSysctl(key: string, has: Set<NamespaceType>): void {
  const path = `linux.sysctl["${key}"]`;
  const dotted = key.replaceAll("/", ".");
  const needs = (type: NamespaceType) => {
    if (!has.has(type)) reject(path, key, `a namespace of type "${type}" with it`);
  };
  if (dotted.split(".").includes("") || dotted.includes("..")) reject(path, key, "a kernel parameter's name");
  if (dotted === "kernel.hostname") reject(path, key, "the field hostname instead");
  if (dotted.startsWith("net.")) needs("network");
  else if (dotted === "kernel.domainname") needs("uts");
  else if (dotted.startsWith("fs.mqueue.") || IPC_SYSCTLS.includes(dotted)) needs("ipc");
  else
    reject(
      path,
      key,
      "a kernel parameter that namespaces separate (net.*, fs.mqueue.*, kernel.msg*, shm*, sem)",
    );
}
