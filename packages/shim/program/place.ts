/**
 * Where the process that serves one containerd and namespace is found. All that asks for it (containerd's address,
 * the namespace, a group) makes one short name: a socket's path may have 107 bytes.
 */
import type { Sys } from "@berth/sys";

/** Folder of all shims, of root's; BERTH_SHIM_STATE names another. */
const ROOT = "/run/berth/shims";

/** The annotation by which a container asks for a process that it shares with its group alone. */
export const GROUP = "io.containerd.runc.v2.group";

/** Paths of one serving process. */
export interface Place {
  /** What the shim keeps while it lives. */
  readonly folder: string;
  /** Where it listens. */
  readonly socket: string;
}

/** `socketDir`: a folder that containerd wants sockets in. */
export function placeOf(
  sys: Sys,
  address: string,
  namespace: string,
  group: string | undefined,
  socketDir: string | undefined,
): Place {
  const uid = sys.uid();
  const root =
    sys.env("BERTH_SHIM_STATE") ??
    (uid === 0 ? ROOT : `${sys.env("XDG_RUNTIME_DIR") ?? `/run/user/${uid}`}/berth/shims`);
  const name = hash(JSON.stringify([address, namespace, group ?? ""]));
  const folder = `${root}/${name}-${namespace.slice(0, 16)}`;
  return { folder, socket: socketDir ? `${socketDir}/berth-${hash(folder)}` : `${folder}/s` };
}

/** FNV-1a with 64 bits, as 16 digits: names need to differ, not to be secret. */
function hash(text: string): string {
  let value = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) {
    value ^= BigInt(byte);
    value = (value * 0x100000001b3n) & 0xffff_ffff_ffff_ffffn;
  }
  return value.toString(16).padStart(16, "0");
}

/** The group that a bundle's config.json asks for, if any. */
export function groupOf(sys: Sys, bundle: string): string | undefined {
  const text = sys.readText(`${bundle}/config.json`);
  // Parsed only where it may hold one: a start has little time.
  if (!text.includes(GROUP)) return undefined;
  const group = (JSON.parse(text) as { annotations?: Record<string, unknown> }).annotations?.[GROUP];
  return typeof group === "string" && group !== "" ? group : undefined;
}
