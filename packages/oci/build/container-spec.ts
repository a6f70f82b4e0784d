/** Builds a container's config.json from an image's configuration and the user's options, with docker's defaults. */
import { BerthError } from "@berth/base";
import type { ImageConfig } from "../image/config.ts";
import type { Device } from "../runtime/linux.ts";
import type { Mount } from "../runtime/mount.ts";
import type { Rlimit } from "../runtime/process.ts";
import type { Resources } from "../runtime/resources.ts";
import type { Seccomp } from "../runtime/seccomp.ts";
import type { Spec } from "../runtime/spec.ts";
import { chooseCapabilities } from "./capabilities.ts";
import {
  cgroupMount,
  DEFAULT_PATH,
  defaultDeviceRules,
  MASKED_PATHS,
  READONLY_PATHS,
  standardMounts,
} from "./defaults.ts";
import { hasVariable, mergeEnvironment } from "./environment.ts";
import type { ResolvedUser } from "./user.ts";

/** Options of a container; all but `id` and `namespace` have a default. */
export interface ContainerOptions {
  id: string;
  namespace: string;
  /** Replaces the image's Cmd. */
  args?: readonly string[];
  /** Replaces the image's Entrypoint, and drops its Cmd; [] for none. */
  entrypoint?: readonly string[];
  /** "NAME=value" adds or replaces, "NAME" removes. */
  env?: readonly string[];
  cwd?: string;
  /** From `resolveUser`; root when absent. */
  user?: ResolvedUser;
  terminal?: boolean;
  hostname?: string;
  domainname?: string;
  readonly?: boolean;
  privileged?: boolean;
  capAdd?: readonly string[];
  capDrop?: readonly string[];
  /** Capabilities that "ALL" and privileged mode stand for; see `chooseCapabilities`. */
  availableCapabilities?: readonly string[];
  noNewPrivileges?: boolean;
  /** "host": the host's network and its resolv.conf, hosts and hostname. "none" (default): loopback only. */
  network?: "host" | "none";
  /** Additional mounts; one at the destination of a standard mount replaces it. */
  mounts?: readonly Mount[];
  /** Bytes. */
  memory?: number;
  /** Processors, for instance 1.5. */
  cpus?: number;
  /** Number of processes; -1 for no limit. */
  pids?: number;
  rlimits?: readonly Rlimit[];
  /** "/namespace/id" when absent. */
  cgroupsPath?: string;
  /** Ignored when privileged; absent: no filter. */
  seccomp?: Seccomp;
  /** The host's devices, for privileged containers. */
  hostDevices?: readonly Device[];
  /** Size of /dev/shm in bytes; 64 MiB when absent. */
  shmBytes?: number;
  sysctl?: Readonly<Record<string, string>>;
  annotations?: Readonly<Record<string, string>>;
}

/** The specification version that built documents declare. */
export const BUILT_OCI_VERSION = "1.2.1";

/**
 * Builds the spec of a container. Throws "invalid_argument" when neither image nor options name a command, or
 * when options contradict one another.
 */
export function containerSpec(image: ImageConfig, options: ContainerOptions): Spec {
  const privileged = options.privileged ?? false;
  const network = options.network ?? "none";
  const capabilities = chooseCapabilities({
    privileged,
    ...(options.capAdd ? { add: options.capAdd } : {}),
    ...(options.capDrop ? { drop: options.capDrop } : {}),
    ...(options.availableCapabilities ? { available: options.availableCapabilities } : {}),
  });
  const user = options.user ?? { uid: 0, gid: 0, additionalGids: [0], home: "/root" };
  const hostname = options.hostname ?? options.id.slice(0, 12);
  const spec: Spec = {
    ociVersion: BUILT_OCI_VERSION,
    process: {
      ...(options.terminal ? { terminal: true } : {}),
      user: { uid: user.uid, gid: user.gid, additionalGids: [...user.additionalGids] },
      args: commandOf(image, options),
      env: environmentOf(image, options, hostname, user.home),
      cwd: workingDirectory(options.cwd ?? image.config?.WorkingDir),
      capabilities: {
        bounding: capabilities,
        effective: [...capabilities],
        permitted: [...capabilities],
      },
      ...(options.rlimits?.length ? { rlimits: [...options.rlimits] } : {}),
      ...(options.noNewPrivileges ? { noNewPrivileges: true } : {}),
    },
    root: { path: "rootfs", ...(options.readonly ? { readonly: true } : {}) },
    hostname,
    ...(options.domainname ? { domainname: options.domainname } : {}),
    mounts: mountsOf(options, privileged, network),
    ...(options.annotations ? { annotations: { ...options.annotations } } : {}),
    linux: {
      ...sysctlOf(options, network),
      cgroupsPath: options.cgroupsPath ?? `/${options.namespace}/${options.id}`,
      resources: resourcesOf(options, privileged),
      namespaces: [
        { type: "pid" },
        { type: "ipc" },
        { type: "uts" },
        { type: "mount" },
        ...(network === "host" ? [] : [{ type: "network" as const }]),
        { type: "cgroup" },
      ],
      ...(privileged
        ? { devices: [...(options.hostDevices ?? [])] }
        : { maskedPaths: [...MASKED_PATHS], readonlyPaths: [...READONLY_PATHS] }),
      ...(options.seccomp && !privileged ? { seccomp: options.seccomp } : {}),
    },
  };
  return spec;
}

/** The command line: entrypoint and arguments, by docker's rule that a new entrypoint drops the image's Cmd. */
export function commandOf(
  image: ImageConfig,
  options: Pick<ContainerOptions, "args" | "entrypoint">,
): string[] {
  const given = options.args ?? [];
  const entrypoint = options.entrypoint ?? image.config?.Entrypoint ?? [];
  const args = given.length > 0 || options.entrypoint ? given : (image.config?.Cmd ?? []);
  const command = [...entrypoint, ...args];
  if (command.length === 0)
    throw new BerthError("invalid_argument", "no command specified: the image names none either", {
      hint: "Put the command after the image's name.",
    });
  return command;
}

function environmentOf(
  image: ImageConfig,
  options: ContainerOptions,
  hostname: string,
  home: string,
): string[] {
  const base = [DEFAULT_PATH, `HOSTNAME=${hostname}`, ...(options.terminal ? ["TERM=xterm"] : [])];
  const merged = mergeEnvironment(mergeEnvironment(base, image.config?.Env ?? []), options.env ?? []);
  const dropped = options.env?.includes("HOME");
  return hasVariable(merged, "HOME") || dropped ? merged : [...merged, `HOME=${home}`];
}

function workingDirectory(text: string | undefined): string {
  if (text === undefined || text === "") return "/";
  if (text.startsWith("/")) return text;
  throw new BerthError(
    "invalid_argument",
    `working directory: found ${JSON.stringify(text)}, expected an absolute path`,
  );
}

function mountsOf(options: ContainerOptions, privileged: boolean, network: "host" | "none"): Mount[] {
  const standard = [...standardMounts(options.shmBytes), cgroupMount(!privileged)];
  if (privileged)
    for (const mount of standard)
      if (mount.destination === "/sys") mount.options = mount.options!.filter((o) => o !== "ro");
  if (network === "host")
    for (const file of ["/etc/resolv.conf", "/etc/hosts", "/etc/hostname"])
      standard.push({ destination: file, type: "bind", source: file, options: ["rbind", "rprivate"] });
  const wanted = options.mounts ?? [];
  const taken = new Set<string>();
  for (const { destination } of wanted) {
    const clean = normalise(destination);
    if (taken.has(clean))
      throw new BerthError("invalid_argument", `duplicate mount point: ${clean}`, {
        hint: "Give each mount its own destination.",
      });
    taken.add(clean);
  }
  // Parents come before what is mounted inside them.
  const own = [...wanted].sort((a, b) => depth(a.destination) - depth(b.destination));
  return [...standard.filter((mount) => !taken.has(mount.destination)), ...own];
}

const normalise = (path: string): string => `/${path.split("/").filter(Boolean).join("/")}`;
const depth = (path: string): number => path.split("/").filter(Boolean).length;

function sysctlOf(options: ContainerOptions, network: "host" | "none"): { sysctl?: Record<string, string> } {
  // In its own network namespace a container may bind low ports and ping without capabilities, as in docker.
  const own: Record<string, string> =
    network === "host"
      ? {}
      : { "net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647" };
  const sysctl = { ...own, ...options.sysctl };
  return Object.keys(sysctl).length > 0 ? { sysctl } : {};
}

function resourcesOf(options: ContainerOptions, privileged: boolean): Resources {
  const resources: Resources = {
    devices: privileged ? [{ allow: true, access: "rwm" }] : defaultDeviceRules(),
  };
  if (options.memory !== undefined) resources.memory = { limit: options.memory };
  if (options.cpus !== undefined)
    resources.cpu = { period: 100_000, quota: Math.round(options.cpus * 100_000) };
  if (options.pids !== undefined) resources.pids = { limit: options.pids > 0 ? options.pids : -1 };
  return resources;
}
