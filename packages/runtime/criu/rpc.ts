/** CRIU's requests and answers (criu.org/RPC): what is asked of it, and the numbers of the fields. Pure. */
import { MessageReader, MessageWriter } from "@berth/protobuf";

/** What a request asks for; the value is the number in CRIU's messages. */
export const REQUESTS = { dump: 1, restore: 2, preDump: 4, notify: 6, features: 9 } as const;
export type RequestKind = keyof typeof REQUESTS;

/** --manage-cgroups-mode. */
export const CGROUP_MODES: Readonly<Record<string, number>> = { ignore: 0, soft: 3, full: 4, strict: 5 };
const DEFAULT_CGROUP_MODE = 6;

/** --network-lock. */
export const NETWORK_LOCKS: Readonly<Record<string, number>> = { iptables: 1, nftables: 2, skip: 3 };

/** Options of a dump or restore. Descriptors are numbers of the process that holds the other end of CRIU's socket. */
export interface CriuOptions {
  imageFolder: number;
  workFolder?: number | undefined;
  logFile: string;
  root: string;
  /** Dump: the process to begin with. */
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
  /** Dump: the cgroup that freezes the container. */
  freezerCgroup?: string | undefined;
  pageServer?: { address: string; port: number } | undefined;
  /** Earlier image, relative to this one; memory is tracked then. */
  parentImage?: string | undefined;
  trackMemory?: boolean | undefined;
  /** "mnt[KEY]:VALUE", "net[INODE]:KEY". */
  external: readonly string[];
  /** Restore: CRIU's own descriptors, by what they take the place of ("pipe:[123]", "extRootNetNS"). */
  inherit?: readonly { key: string; fd: number }[];
  /** Restore: namespaces to join by path. */
  join?: readonly { type: string; path: string }[];
  /** Restore: where each controller's cgroups begin. */
  cgroupRoots?: readonly { controller: string; path: string }[];
  /** Restore: the first process becomes a child of CRIU's parent. */
  sibling?: boolean | undefined;
  /** Restore: devices that are gone may be opened anew. */
  evasiveDevices?: boolean | undefined;
  lsmProfile?: string | undefined;
  lsmMountContext?: string | undefined;
  /** A configuration file of CRIU's, which has the last word. */
  configFile?: string | undefined;
}

/** Everything that CRIU writes to its log. */
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
    .flag(50, true) // a terminal's master that nobody in the container holds comes to us
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

/** A dump, pre-dump or restore. */
export function encodeRequest(kind: "dump" | "preDump" | "restore", options: CriuOptions): Uint8Array {
  return new MessageWriter().number(1, REQUESTS[kind]).message(2, writeOptions(options)).finish();
}

/** Asks whether CRIU and the kernel can do this. */
export function encodeFeatureCheck(feature: "memoryTracking" | "lazyPages"): Uint8Array {
  const wanted = new MessageWriter().flag(feature === "memoryTracking" ? 1 : 2, true);
  return new MessageWriter().number(1, REQUESTS.features).message(5, wanted).finish();
}

/** Tells CRIU that a notification was seen, and whether to go on. */
export function encodeNotifyAnswer(success: boolean): Uint8Array {
  return new MessageWriter()
    .number(1, REQUESTS.notify)
    .number(3, success ? 1 : 0)
    .finish();
}

/** What CRIU says. */
export interface CriuAnswer {
  /** Number of the request that this answers, or {@link REQUESTS}.notify. */
  type: number;
  success: boolean;
  /** A notification: CRIU waits until it is answered. */
  notify?: { script: string; pid: number };
  /** Pid of the restored first process. */
  pid: number;
  errno: number;
  message: string | undefined;
  features: { memoryTracking: boolean; lazyPages: boolean };
}

/** Reads an answer; "data_loss" for what is none. */
export function decodeAnswer(bytes: Uint8Array): CriuAnswer {
  const m = new MessageReader(bytes);
  const notify = m.message(5);
  const features = m.message(8);
  return {
    type: m.number(1),
    success: m.flag(2),
    ...(notify === undefined ? {} : { notify: { script: notify.text(1) ?? "", pid: notify.number(2) } }),
    pid: m.message(4)?.number(1) ?? 0,
    errno: m.number(7),
    message: m.text(9),
    features: { memoryTracking: features?.flag(1) ?? false, lazyPages: features?.flag(2) ?? false },
  };
}
