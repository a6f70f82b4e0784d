/** Flags shared by checkpoint and restore. */
import { log } from "@berth/base";
import { type CriuSettings, cgroupMode, emptyNamespaces, networkLock } from "@berth/runtime/checkpoint";
import type { Sys } from "@berth/sys";
import { absolute } from "./launching.ts";

export const criuFlags = {
  "image-path": { type: "string", help: "folder of the image (default: ./checkpoint)" },
  "work-path": { type: "string", help: "folder of criu's log (default: that of the image)" },
  "tcp-established": { type: "bool", help: "allow open TCP connections" },
  "ext-unix-sk": { type: "bool", help: "allow unix sockets whose other end is outside" },
  "shell-job": { type: "bool", help: "allow processes whose session leader is outside" },
  "file-locks": { type: "bool", help: "keep file locks" },
  "manage-cgroups-mode": { type: "string", help: "soft (default), full, strict or ignore" },
  "empty-ns": { type: "list", help: "leave this namespace's content out: network" },
  "auto-dedup": { type: "bool", help: "drop pages from the image that a later one has" },
  "lazy-pages": { type: "bool", help: "transfer memory after the start, with userfaultfd" },
  "network-lock": { type: "string", help: "how packets are held back meanwhile: iptables, nftables or skip" },
} as const;

/** Values of {@link criuFlags}. */
export interface CriuFlags {
  "image-path"?: string;
  "work-path"?: string;
  "tcp-established"?: boolean;
  "ext-unix-sk"?: boolean;
  "shell-job"?: boolean;
  "file-locks"?: boolean;
  "manage-cgroups-mode"?: string;
  "empty-ns"?: string[];
  "auto-dedup"?: boolean;
  "lazy-pages"?: boolean;
  "network-lock"?: string;
}

/** Converts the flags to CRIU settings. */
export function criuSettings(sys: Sys, flags: CriuFlags): CriuSettings {
  if (sys.uid() !== 0) log.warn("CRIU without root needs CAP_CHECKPOINT_RESTORE and is not tested");
  return {
    imagePath: absolute(sys, flags["image-path"] || "checkpoint"),
    workPath: flags["work-path"] ? absolute(sys, flags["work-path"]) : undefined,
    tcpEstablished: flags["tcp-established"] ?? false,
    externalUnixSockets: flags["ext-unix-sk"] ?? false,
    shellJob: flags["shell-job"] ?? false,
    fileLocks: flags["file-locks"] ?? false,
    autoDedup: flags["auto-dedup"] ?? false,
    lazyPages: flags["lazy-pages"] ?? false,
    emptyNamespaces: emptyNamespaces(flags["empty-ns"] ?? []),
    cgroupMode: cgroupMode(flags["manage-cgroups-mode"]),
    networkLock: networkLock(flags["network-lock"]),
  };
}
