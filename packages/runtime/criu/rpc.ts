/** CRIU's RPC messages (criu.org/RPC), encoded by field number. Pure. */
import { present } from "@berth/base";
import { MessageReader, MessageWriter } from "@berth/protobuf";

/** Request types with their numbers in criu_req_type. */
export const REQUESTS = { dump: 1, restore: 2, preDump: 4, notify: 6, features: 9 } as const;
export type RequestKind = keyof typeof REQUESTS;

/** --manage-cgroups-mode. */
export const CGROUP_MODES: Readonly<Record<string, number>> = { ignore: 0, soft: 3, full: 4, strict: 5 };
const DEFAULT_CGROUP_MODE = 6;

/** --network-lock. */
export const NETWORK_LOCKS: Readonly<Record<string, number>> = { iptables: 1, nftables: 2, skip: 3 };

/** Options of a dump or restore (criu_opts). Descriptors are those of the process at the other end of CRIU's socket. */
export interface CriuOptions {
  imageFolder: number;
  workFolder?: number | undefined;
  logFile: string;
  root: string;
  /** Dump: the root of the process tree. */
  pid?: number | undefined;
  leaveRunning?: boolean | undefined;
  tcpEstablished?: boolean | undefined;
  tcpSkipInFlight?: boolean | undefined;
  tcpClose?: boolean | undefined;
  linkRemap?: boolean | undefined;
  externalUnixSockets?: boolean | undefined;
  shellJob?: boolean | undefined;
  fileLocks?: boolean | undefined;
  autoDedup?: boolean | undefined;
  lazyPages?: boolean | undefined;
  /** Clone flags of namespaces whose content is neither dumped nor restored. */
  emptyNamespaces?: number | undefined;
  /** One of {@link CGROUP_MODES}. */
  cgroupMode?: string | undefined;
  /** One of {@link NETWORK_LOCKS}. */
  networkLock?: string | undefined;
  /** Dump: the cgroup to freeze the container by. */
  freezerCgroup?: string | undefined;
  pageServer?: { address: string; port: number } | undefined;
  /** The previous image, relative to this one. */
  parentImage?: string | undefined;
  trackMemory?: boolean | undefined;
  /** "mnt[KEY]:VALUE", "net[INODE]:KEY". */
  external: readonly string[];
  /** Restore: descriptors of CRIU's, by the resource that they replace ("pipe:[123]", "extRootNetNS"). */
  inherit?: readonly { key: string; fd: number }[];
  /** Restore: namespaces to join by path. */
  join?: readonly { type: string; path: string }[];
  /** Restore: the cgroup of each controller to restore cgroups below. */
  cgroupRoots?: readonly { controller: string; path: string }[];
  /** Restore: the init process becomes a child of CRIU's parent. */
  sibling?: boolean | undefined;
  /** Restore: use any path to a device file if its original path is inaccessible. */
  evasiveDevices?: boolean | undefined;
  lsmProfile?: string | undefined;
  lsmMountContext?: string | undefined;
  /** A CRIU configuration file, which overrides these options. */
  configFile?: string | undefined;
}

/** CRIU's highest log level, debug. */
const LOG_LEVEL = 4;

function writeOptions(o: CriuOptions): MessageWriter {
  const w = new MessageWriter()
    .number(1, o.imageFolder)
    .number(2, o.pid)
    .flag(3, o.leaveRunning)
    .flag(4, o.externalUnixSockets)
    .flag(5, o.tcpEstablished)
    .flag(6, o.evasiveDevices)
    .flag(7, o.shellJob)
    .flag(8, o.fileLocks)
    .number(9, LOG_LEVEL)
    .text(10, o.logFile)
    .flag(12, true) // notifications
    .text(13, o.root)
    .text(14, o.parentImage)
    .flag(15, o.trackMemory)
    .flag(16, o.autoDedup)
    .number(17, o.workFolder)
    .flag(18, o.linkRemap)
    .flag(24, true) // manage cgroups, in the mode of field 34
    .flag(26, o.sibling)
    .number(34, o.cgroupMode === undefined ? DEFAULT_CGROUP_MODE : CGROUP_MODES[o.cgroupMode])
    .number(38, o.emptyNamespaces)
    .text(44, o.freezerCgroup)
    .flag(46, o.tcpSkipInFlight)
    .flag(48, o.lazyPages)
    .flag(50, true) // orphan_pts_master: send us a terminal's master that is held outside the container
    .text(51, o.configFile)
    .flag(52, o.tcpClose)
    .text(53, o.lsmProfile)
    .text(63, o.lsmMountContext)
    .number(64, o.networkLock === undefined ? undefined : NETWORK_LOCKS[o.networkLock]);
  if (o.pageServer !== undefined)
    w.message(11, new MessageWriter().text(1, o.pageServer.address).number(2, o.pageServer.port));
  for (const r of o.cgroupRoots ?? [])
    w.message(25, new MessageWriter().text(1, r.controller).text(2, r.path));
  for (const i of o.inherit ?? []) w.message(27, new MessageWriter().text(1, i.key).number(2, i.fd));
  for (const e of o.external) w.text(37, e);
  for (const j of o.join ?? []) w.message(39, new MessageWriter().text(1, j.type).text(2, j.path));
  return w;
}

/** Encodes a dump, pre-dump or restore request. */
export function encodeRequest(kind: "dump" | "preDump" | "restore", options: CriuOptions): Uint8Array {
  return new MessageWriter().number(1, REQUESTS[kind]).message(2, writeOptions(options)).finish();
}

/** Encodes a request that checks for a feature of CRIU and the kernel. */
export function encodeFeatureCheck(feature: "memoryTracking" | "lazyPages"): Uint8Array {
  const features = new MessageWriter().flag(feature === "memoryTracking" ? 1 : 2, true);
  return new MessageWriter().number(1, REQUESTS.features).message(5, features).finish();
}

/** Encodes the acknowledgement of a notification, on which CRIU continues if `success` is set. */
export function encodeNotifyResponse(success: boolean): Uint8Array {
  return new MessageWriter()
    .number(1, REQUESTS.notify)
    .number(3, success ? 1 : 0)
    .finish();
}

/** A response or notification of CRIU (criu_resp). */
export interface CriuResponse {
  /** Type of the request, or {@link REQUESTS}.notify. */
  type: number;
  success: boolean;
  /** A notification; CRIU waits for its acknowledgement. */
  notify?: { script: string; pid: number };
  /** Restore: pid of the init process. */
  pid: number;
  errno: number;
  message: string | undefined;
  features: { memoryTracking: boolean; lazyPages: boolean };
}

/** Decodes a response; "data_loss" if it is malformed. */
export function decodeResponse(bytes: Uint8Array): CriuResponse {
  const m = new MessageReader(bytes);
  const notification = m.message(5);
  const notify = notification && { script: notification.text(1) ?? "", pid: notification.number(2) };
  const features = m.message(8);
  return {
    type: m.number(1),
    success: m.flag(2),
    ...present({ notify }),
    pid: m.message(4)?.number(1) ?? 0,
    errno: m.number(7),
    message: m.text(9),
    features: { memoryTracking: features?.flag(1) ?? false, lazyPages: features?.flag(2) ?? false },
  };
}
