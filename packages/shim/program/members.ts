/** Containers of a sandbox: which one it is, and how their configuration is understood there. */
import type { Sys } from "@berth/sys";
import type { Sandbox, Sandboxes } from "./sandboxes.ts";

/** The annotation by which the kubelet's containers name their pod. */
const POD = "io.kubernetes.cri.sandbox-id";
const FILES: Readonly<Record<string, string>> = { network: "net", ipc: "ipc", uts: "uts", pid: "pid" };

interface Config {
  annotations?: Record<string, string>;
  mounts?: { destination: string; type?: string; source?: string; options?: string[] }[];
  linux?: { namespaces?: { type: string; path?: string }[] };
}

/**
 * The sandbox that a container is in, and its configuration there; undefined where it is in none.
 *
 * - A namespace that is asked for by the path of the host's own is the sandbox's: who wants the host's names none.
 * - Without a network of its own a member is in the sandbox's, if that was given one.
 * - Who shares the sandbox's IPC shares its /dev/shm.
 */
export function membership(
  sys: Sys,
  sandboxes: Sandboxes,
  bundle: string,
  announced: boolean,
): { sandbox: Sandbox; spec: Uint8Array } | undefined {
  if (sandboxes.size === 0) return undefined;
  const config = JSON.parse(sys.readText(`${bundle}/config.json`)) as Config;
  const sandbox = sandboxOf(sys, sandboxes, bundle, config, announced);
  if (sandbox === undefined || sandbox.pid === 0) return undefined;
  const own = (kind: string) => `/proc/${sandbox.pid}/ns/${FILES[kind]}`;
  config.linux ??= {};
  config.linux.namespaces ??= [];
  const { namespaces } = config.linux;
  for (const ns of namespaces)
    if (ns.path && FILES[ns.type] !== undefined && isHosts(sys, ns.path, FILES[ns.type]!))
      ns.path = own(ns.type);
  if (sandbox.hasNetwork && !namespaces.some((ns) => ns.type === "network"))
    namespaces.push({ type: "network", path: own("network") });
  const ipc = namespaces.find((ns) => ns.type === "ipc")?.path;
  if (ipc !== undefined && same(sys, ipc, own("ipc")))
    for (const mount of config.mounts ?? [])
      if (mount.destination === "/dev/shm" && mount.type === "tmpfs")
        Object.assign(mount, {
          type: "bind",
          source: sandbox.shm,
          options: ["bind", "nosuid", "noexec", "nodev"],
        });
  return { sandbox, spec: new TextEncoder().encode(JSON.stringify(config)) };
}

// The host's first process is in its namespaces; who may not look at it may still name it.
function isHosts(sys: Sys, path: string, file: string): boolean {
  return path === `/proc/1/ns/${file}` || same(sys, path, `/proc/self/ns/${file}`);
}

// Files of the kernel's namespaces are the same where their numbers are.
function same(sys: Sys, first: string, second: string): boolean {
  const [a, b] = [sys.stat(first), sys.stat(second)];
  return a !== undefined && b !== undefined && a.ino === b.ino && a.dev === b.dev;
}

function sandboxOf(
  sys: Sys,
  sandboxes: Sandboxes,
  bundle: string,
  config: Config,
  announced: boolean,
): Sandbox | undefined {
  // containerd writes it down for those that it connects without calling `start`.
  const named = sys.readTextIfAny(`${bundle}/sandbox`)?.trim() || config.annotations?.[POD];
  if (named) return sandboxes.has(named) ? sandboxes.get(named) : undefined;
  return announced ? undefined : sandboxes.only;
}
