/** Members of sandboxes, and their configuration. */
import type { Sys } from "@berth/sys";
import type { Sandbox, Sandboxes } from "./sandboxes.ts";

/** The kubelet's annotation with the id of the pod. */
const POD = "io.kubernetes.cri.sandbox-id";
const FILES: Readonly<Record<string, string>> = { network: "net", ipc: "ipc", uts: "uts", pid: "pid" };

interface Config {
  annotations?: Record<string, string>;
  mounts?: { destination: string; type?: string; source?: string; options?: string[] }[];
  linux?: { namespaces?: { type: string; path?: string }[] };
}

/**
 * The sandbox of a container, and the container's configuration in it; undefined without one.
 *
 * - A path of a host namespace stands for the sandbox's; a member without an entry is in the host's (but see the next).
 * - Without a network entry, a member joins the sandbox's network if there is one.
 * - Members with the sandbox's IPC namespace share its /dev/shm.
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

// /proc/1 counts as the host even if it cannot be read.
function isHosts(sys: Sys, path: string, file: string): boolean {
  return path === `/proc/1/ns/${file}` || same(sys, path, `/proc/self/ns/${file}`);
}

// Namespaces are identified by device and inode.
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
  // containerd writes it for containers that it creates without calling `start`.
  const named = sys.readTextIfAny(`${bundle}/sandbox`)?.trim() || config.annotations?.[POD];
  if (named) return sandboxes.has(named) ? sandboxes.get(named) : undefined;
  return announced ? undefined : sandboxes.only;
}
