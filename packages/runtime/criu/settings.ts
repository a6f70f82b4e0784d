/** Settings of checkpoint and restore, and the validation of their flags. Pure. */
import { BerthError } from "@berth/base";
import { CLONE_FLAGS } from "../plan/operations.ts";
import { CGROUP_MODES, NETWORK_LOCKS } from "./rpc.ts";

/** Settings of both checkpoint and restore. */
export interface CriuSettings {
  /** Absolute path of the image directory. */
  imagePath: string;
  /** Directory of CRIU's log; by default the image directory. */
  workPath: string | undefined;
  tcpEstablished: boolean;
  externalUnixSockets: boolean;
  shellJob: boolean;
  fileLocks: boolean;
  autoDedup: boolean;
  lazyPages: boolean;
  emptyNamespaces: number;
  cgroupMode: string | undefined;
  networkLock: string | undefined;
}

/** Settings of checkpoint. */
export interface CheckpointSettings extends CriuSettings {
  parentPath: string | undefined;
  leaveRunning: boolean;
  tcpSkipInFlight: boolean;
  linkRemap: boolean;
  preDump: boolean;
  pageServer: { address: string; port: number } | undefined;
  /** Descriptor that a NUL byte is written to once the page server is ready (lazy pages). */
  statusFd: number | undefined;
}

/** Settings of restore. */
export interface RestoreSettings extends CriuSettings {
  tcpClose: boolean;
  lsmProfile: string | undefined;
  lsmMountContext: string | undefined;
}

function oneOf(
  flag: string,
  value: string | undefined,
  table: Readonly<Record<string, number>>,
): string | undefined {
  if (value === undefined || value === "") return undefined;
  if (Object.hasOwn(table, value)) return value;
  throw new BerthError(
    "invalid_argument",
    `--${flag}: found ${JSON.stringify(value)}, expected ${Object.keys(table).join(", ")}`,
    { stage: "flags" },
  );
}

/** Validates --manage-cgroups-mode; undefined is CRIU's default. */
export function cgroupMode(value: string | undefined): string | undefined {
  return oneOf("manage-cgroups-mode", value, CGROUP_MODES);
}

/** Validates --network-lock; undefined is CRIU's default. */
export function networkLock(value: string | undefined): string | undefined {
  return oneOf("network-lock", value, NETWORK_LOCKS);
}

/** Converts --empty-ns to clone flags. As in runc, only "network" is supported. */
export function emptyNamespaces(values: readonly string[]): number {
  for (const value of values) {
    if (value !== "network")
      throw new BerthError(
        "invalid_argument",
        `--empty-ns: found ${JSON.stringify(value)}, expected network`,
        {
          stage: "flags",
        },
      );
  }
  return values.length > 0 ? CLONE_FLAGS.network : 0;
}

/** Parses --page-server: "ADDRESS:PORT", with brackets around an IPv6 address. */
export function pageServer(value: string | undefined): { address: string; port: number } | undefined {
  if (value === undefined || value === "") return undefined;
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(value);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65535)
    throw new BerthError(
      "invalid_argument",
      `--page-server: found ${JSON.stringify(value)}, expected ADDRESS:PORT`,
      {
        stage: "flags",
      },
    );
  return { address: match[1] ?? match[2]!, port };
}
