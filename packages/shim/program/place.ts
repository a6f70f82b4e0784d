/**
 * Paths of a serving process. containerd's address, the namespace and the group are hashed to a short name, as the path of a
 * socket is limited to 107 bytes.
 */
import type { Sys } from "@berth/sys";

/** Folder of all shims of root; BERTH_SHIM_STATE overrides it. */
const ROOT = "/run/berth/shims";

/** Annotation of containers that share a serving process with their group only. */
export const GROUP = "io.containerd.runc.v2.group";

/** Paths of a serving process. */
export interface Place {
  /** Its state folder. */
  readonly folder: string;
  /** Its socket. */
  readonly socket: string;
}

/** `socketDir`: containerd's folder for sockets, if it has one. */
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

/** 64-bit FNV-1a as 16 hex digits. */
function hash(text: string): string {
  let value = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) {
    value ^= BigInt(byte);
    value = (value * 0x100000001b3n) & 0xffff_ffff_ffff_ffffn;
  }
  return value.toString(16).padStart(16, "0");
}

/** The group in a bundle's config.json, if any. */
export function groupOf(sys: Sys, bundle: string): string | undefined {
  const text = sys.readText(`${bundle}/config.json`);
  // Parsed only if needed: `start` must be fast.
  if (!text.includes(GROUP)) return undefined;
  const group = (JSON.parse(text) as { annotations?: Record<string, unknown> }).annotations?.[GROUP];
  return typeof group === "string" && group !== "" ? group : undefined;
}
