/** All settings of berthd: what each may be, and what it means. */
import { isAbsolute } from "node:path";
import { isLogLevel, type LogLevel, MAX_LOG_FILES, parseDuration } from "@berth/base";
import { type Document, isTable } from "../../base/toml/document.ts";
import type { StreamProcessor } from "../../work/layers/processors.ts";
import { BUILT_IN } from "../../work/tasks/runtime.ts";
import { loopbackAddress } from "../metrics/listener.ts";
import { tcpAddress } from "./tcp.ts";

/** What a value must be. */
interface Kind<T> {
  /** In error messages: "an absolute path". */
  expected: string;
  /** The value; undefined if the text in the file is none. */
  read(value: unknown): T | undefined;
  /** The value as TOML. */
  show(value: unknown): string;
}

/** A setting. */
export interface Setting<T = unknown> extends Kind<T> {
  /** What holds without it; undefined if it follows from other settings, as `about` says. */
  fallback: T | undefined;
  /** One sentence. */
  about: string;
}

const kind = <T>(expected: string, fits: (value: unknown) => boolean): Kind<T> => ({
  expected,
  read: (value) => (fits(value) ? (value as T) : undefined),
  // Texts, numbers and lists look the same in JSON.
  show: (value) => JSON.stringify(value),
});
const isText = (value: unknown): value is string => typeof value === "string";
const isWhole = (value: unknown): value is number => Number.isSafeInteger(value);

const PATH = kind<string>("an absolute path", (value) => isText(value) && isAbsolute(value));
const PATHS = kind<string>(
  "absolute paths, separated by colons",
  (value) => isText(value) && value.split(":").every((path) => path === "" || isAbsolute(path)),
);
const NATURAL = kind<number>("a whole number, 0 or more", (value) => isWhole(value) && value >= 0);
const WHOLE = kind<number>("a whole number, -1 or more", (value) => isWhole(value) && value >= -1);
const TEXT = kind<string>("a text", isText);
const ADDRESS = kind<string>(
  "HOST:PORT",
  (value) => isText(value) && (value === "" || tcpAddress(value) !== undefined),
);
const FLAG = kind<boolean>("true or false", (value) => typeof value === "boolean");
const isTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every(isText);
const TEXTS = kind<readonly string[]>("a list of texts", isTexts);
const LOG_FILES = kind<number>(
  `a whole number from 1 to ${MAX_LOG_FILES}`,
  (value) => isWhole(value) && value >= 1 && value <= MAX_LOG_FILES,
);
const LEVEL = kind<LogLevel>(
  "one of trace, debug, info, warn, error",
  (value) => isText(value) && isLogLevel(value),
);
const FORMAT = kind<"text" | "json">("text or json", (value) => value === "text" || value === "json");
const LOOPBACK = kind<string>(
  "127.0.0.1:PORT or [::1]:PORT",
  (value) => isText(value) && (value === "" || loopbackAddress(value) !== undefined),
);
const SCORE = kind<number>(
  "a whole number from -1000 to 1000",
  (value) => isWhole(value) && Math.abs(value) <= 1000,
);
const FRACTION = kind<number>(
  "a number from 0 to 0.5",
  (value) => typeof value === "number" && value >= 0 && value <= 0.5,
);
const SHARING = kind<"shared" | "isolated">(
  "shared or isolated",
  (value) => value === "shared" || value === "isolated",
);
/** Other programs' plugins, by their names. */
export type Proxies = Readonly<
  Record<string, { address: string; exports: Readonly<Record<string, string>> }>
>;
const PROXIES: Kind<Proxies> = {
  expected: 'tables such as [proxy_plugins.NAME] with type = "snapshot" and address = "/path"',
  read: (value) => {
    if (!isTable(value)) return undefined;
    const out: Record<string, Proxies[string]> = {};
    for (const [name, proxy] of Object.entries(value)) {
      if (!isTable(proxy) || proxy.type !== "snapshot" || !isText(proxy.address)) return undefined;
      const address = proxy.address.replace(/^unix:\/\//, "");
      const { exports = {} } = proxy;
      if (!isAbsolute(address) || !isTable(exports) || !Object.values(exports).every(isText))
        return undefined;
      out[name] = { address, exports: exports as Record<string, string> };
    }
    return out;
  },
  show: (value) => {
    const texts = (table: object) =>
      Object.entries(table).map(([key, text]) => `${JSON.stringify(key)} = ${JSON.stringify(text)}`);
    const proxies = Object.entries(value as Proxies).map(([name, { address, exports }]) => {
      const fields = [...texts({ type: "snapshot", address }), `exports = { ${texts(exports).join(", ")} }`];
      return `${JSON.stringify(name)} = { ${fields.join(", ")} }`;
    });
    return `{ ${proxies.join(", ")} }`;
  },
};
const PROCESSORS: Kind<readonly StreamProcessor[]> = {
  expected:
    "tables such as [stream_processors.NAME] with accepts, returns and path, and perhaps args and env",
  read: (value) => {
    if (!isTable(value)) return undefined;
    const out: StreamProcessor[] = [];
    for (const [id, table] of Object.entries(value)) {
      const { accepts, returns, path, args = [], env = [] } = isTable(table) ? table : {};
      if (!isTexts(accepts) || !isText(returns) || !isText(path) || !isTexts(args) || !isTexts(env))
        return undefined;
      out.push({ id, accepts, returns, path, args, env });
    }
    return out;
  },
  show: (value) => {
    const tables = (value as readonly StreamProcessor[]).map(({ id, ...fields }) => {
      const shown = Object.entries(fields).map(([key, field]) => `${key} = ${JSON.stringify(field)}`);
      return `${JSON.stringify(id)} = { ${shown.join(", ")} }`;
    });
    return `{ ${tables.join(", ")} }`;
  },
};
/** In milliseconds. */
const DURATION: Kind<number> = {
  expected: 'a duration such as "10s"',
  read: (value) => (isText(value) ? parseDuration(value) : undefined),
  show: (value) => JSON.stringify(`${value}ms`),
};

const setting = <T>(kind: Kind<T>, fallback: T | undefined, about: string): Setting<T> => ({
  ...kind,
  fallback,
  about,
});

/** By key in berth's file, in the order in which they are shown. */
export const SETTINGS = {
  root: setting(PATH, "/var/lib/berth", "Blobs, snapshots and metadata."),
  state: setting(PATH, "/run/berth", "Sockets and running containers; need not survive a reboot."),
  oom_score: setting(SCORE, 0, "berthd's own /proc/PID/oom_score_adj; 0 leaves it as it is."),
  disabled_plugins: setting(TEXTS, [], 'Plugins to leave out, as "TYPE.ID" of `ctr plugins ls`.'),
  required_plugins: setting(TEXTS, [], "Plugins without which berthd does not start."),
  proxy_plugins: setting(
    PROXIES,
    {},
    'Snapshotters of other programs by their names: {type = "snapshot", address = "/path/of/its.sock"}.',
  ),
  stream_processors: setting(
    PROCESSORS,
    [],
    "Programs that turn layers of some types into others: {accepts = [TYPES], returns = TYPE, path, args, env}.",
  ),
  "grpc.address": setting(PATH, undefined, "The socket; default: berth.sock in the state directory."),
  "grpc.uid": setting(NATURAL, 0, "Owner of the socket."),
  "grpc.gid": setting(NATURAL, 0, "Group of the socket: its members may use it."),
  "grpc.max_message_bytes": setting(NATURAL, 16 << 20, "Largest request."),
  "grpc.max_connections": setting(NATURAL, 1024, "Connections at the same time."),
  "tcp.address": setting(ADDRESS, "", "Listen on TCP, too, with TLS: HOST:PORT."),
  "tcp.ca": setting(PATH, undefined, "PEM file: the CA of the certificates that clients have to show."),
  "tcp.cert": setting(PATH, undefined, "PEM file: the server's certificate."),
  "tcp.key": setting(PATH, undefined, "PEM file: its key."),
  "tcp.common_name": setting(TEXT, "", "Name that a client's certificate has to be for."),
  "ttrpc.address": setting(
    PATH,
    undefined,
    'Socket for the events of shims; default: grpc.address + ".ttrpc".',
  ),
  "log.level": setting(LEVEL, "info", "trace, debug, info, warn or error."),
  "log.format": setting(FORMAT, "text", "text or json."),
  "limits.downloads": setting(NATURAL, 3, "Layers of a pull that are downloaded at the same time."),
  "limits.unpackers": setting(
    NATURAL,
    0,
    "Threads that unpack layers; 0: one for each processor, at most four.",
  ),
  "limits.starts": setting(NATURAL, 0, "Containers that start at the same time; 0: four for each processor."),
  "logs.max_size": setting(NATURAL, 20 << 20, "Bytes after which a container's log is rotated; 0: never."),
  "logs.max_files": setting(LOG_FILES, 5, "Files kept of a container's log."),
  "metrics.address": setting(LOOPBACK, "", "TCP address for GET /metrics, which the socket answers anyhow."),
  "debug.address": setting(PATH, undefined, "Socket for profiles and facts about the process, root's alone."),
  "gc.pause_threshold": setting(FRACTION, 0.02, "Largest part of the time that collections may take."),
  "gc.deletion_threshold": setting(NATURAL, 0, "Deletions after which a collection is due; 0: one."),
  "gc.schedule_delay": setting(DURATION, 100, "Time from when a collection is due to its start."),
  "gc.startup_delay": setting(DURATION, 100, "Time from berthd's start to its first collection."),
  "content.sharing": setting(
    SHARING,
    "shared",
    "shared: a namespace gets a blob of another's by its digest; isolated: it has to send it, too.",
  ),
  "overlayfs.root": setting(PATH, undefined, "Its snapshots; default: snapshots/overlayfs below root."),
  "overlayfs.mount_options": setting(TEXTS, [], 'Further options of its mounts, such as "volatile".'),
  "overlayfs.sync_remove": setting(FLAG, false, "Whether a snapshot's removal waits for its files'."),
  "overlayfs.upperdir_label": setting(
    FLAG,
    false,
    "Whether a snapshot's labels tell the folder of its files.",
  ),
  "btrfs.root": setting(PATH, undefined, "Its snapshots, on btrfs; default: snapshots/btrfs below root."),
  "native.root": setting(PATH, undefined, "Its snapshots; default: snapshots/native below root."),
  "verifiers.bin_dir": setting(
    PATH,
    "/opt/containerd/image-verifier/bin",
    "Programs that have to agree before an image is pulled; none if the folder does not exist.",
  ),
  "verifiers.max": setting(WHOLE, 10, "Programs that are asked, in the order of their names; -1: all."),
  "verifiers.timeout": setting(DURATION, 10_000, "Time for each."),
  "registry.config_path": setting(
    PATHS,
    "/etc/containerd/certs.d",
    "Folders with a folder for each registry, separated by colons: hosts.toml, or *.crt, *.cert and *.key.",
  ),
  "registry.insecure": setting(
    TEXTS,
    [],
    "Registries reached over plain HTTP; those on loopback always are.",
  ),
  "runtimes.built_in": setting(TEXTS, BUILT_IN, "Runtime names that mean berth's own."),
} satisfies Record<string, Setting>;

/** A setting's name: its key in berth's file. */
export type SettingName = keyof typeof SETTINGS;
/** The type of a setting's value. */
export type SettingValue<K extends SettingName> = (typeof SETTINGS)[K] extends Setting<infer T> ? T : never;
/** What a file sets. */
export type Settings = { [K in SettingName]?: SettingValue<K> };

/** Whether `key` is the name of a setting. */
export function isSetting(key: string): key is SettingName {
  return Object.hasOwn(SETTINGS, key);
}

/** The value of a setting at `key` of a file, which calls it `shown`. */
export function readSetting(
  document: Document,
  key: readonly string[],
  name: SettingName,
  value: unknown,
  shown: string,
): unknown {
  const { read, expected } = SETTINGS[name];
  const found = read(value);
  if (found === undefined)
    throw document.refusal(key, `${shown} is ${JSON.stringify(value)}, expected ${expected}`);
  return found;
}
