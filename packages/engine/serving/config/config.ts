/** The daemon's settings: a TOML file, then flags. Unknown keys are errors that name their line. */
import { readFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { BerthError, isLogLevel, type LogLevel, MAX_LOG_FILES } from "@berth/base";
import { parse, TomlError } from "smol-toml";
import { BUILT_IN } from "../../work/tasks/runtime.ts";
import { loopbackAddress } from "../metrics/listener.ts";
import { lineOf } from "./line.ts";

/** Settings of the daemon. */
export interface Config {
  /** Persistent data: blobs, snapshots, metadata. */
  root: string;
  /** Data that need not survive a reboot: sockets, bundles, keepers. */
  state: string;
  grpc: {
    /** Path of the unix socket. */
    address: string;
    uid: number;
    gid: number;
    maxMessageBytes: number;
    maxConnections: number;
  };
  ttrpc: {
    /** Path of the socket for events of shims; root's alone. */
    address: string;
  };
  log: { level: LogLevel; format: "text" | "json" };
  limits: {
    /** Concurrent layer downloads of one pull. */
    downloads: number;
    /** Threads that unpack layers; 0 for one per processor, at most four. */
    unpackers: number;
    /** Concurrent creates and starts of containers; 0 for four per processor. */
    starts: number;
  };
  logs: {
    /** Bytes at which a container's log is rotated, unless the container says otherwise; 0 for never. */
    maxSize: number;
    /** Number of files kept of a log, including the current one. */
    maxFiles: number;
  };
  metrics: {
    /** TCP address to serve metrics on, besides GET /metrics on the socket: "127.0.0.1:PORT"; "" for none. */
    address: string;
  };
  runtimes: {
    /** Runtime names that select berth's own. All others are found by their shims' binaries. */
    builtIn: readonly string[];
  };
  registry: {
    /** Registries accessed over plain HTTP, as host or host:port. Loopback addresses always are. */
    insecure: string[];
  };
}

/** Settings from the command line; undefined keeps the file's. */
export interface ConfigFlags {
  root?: string;
  state?: string;
  address?: string;
  logLevel?: string;
}

type Check = "loopback" | "path" | "natural" | "count" | "level" | "format" | "strings";
/** All keys, with a check of their values. */
const KEYS: Readonly<Record<string, Check>> = {
  root: "path",
  state: "path",
  "grpc.address": "path",
  "grpc.uid": "natural",
  "grpc.gid": "natural",
  "grpc.max_message_bytes": "natural",
  "grpc.max_connections": "natural",
  "ttrpc.address": "path",
  "log.level": "level",
  "log.format": "format",
  "limits.downloads": "natural",
  "limits.unpackers": "natural",
  "limits.starts": "natural",
  "logs.max_size": "natural",
  "logs.max_files": "count",
  "metrics.address": "loopback",
  "registry.insecure": "strings",
  "runtimes.built_in": "strings",
};
const EXPECTED: Readonly<Record<Check, string>> = {
  path: "an absolute path",
  natural: "a whole number, 0 or more",
  count: `a whole number from 1 to ${MAX_LOG_FILES}`,
  level: "one of trace, debug, info, warn, error",
  format: "text or json",
  strings: "a list of texts",
  loopback: "127.0.0.1:PORT or [::1]:PORT",
};
const TABLES = new Set(Object.keys(KEYS).flatMap((key) => (key.includes(".") ? [key.split(".")[0]!] : [])));

function fits(check: Check, value: unknown): boolean {
  switch (check) {
    case "path":
      return typeof value === "string" && isAbsolute(value);
    case "natural":
      return Number.isSafeInteger(value) && (value as number) >= 0;
    case "count":
      return Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= MAX_LOG_FILES;
    case "loopback":
      return typeof value === "string" && loopbackAddress(value) !== undefined;
    case "level":
      return typeof value === "string" && isLogLevel(value);
    case "format":
      return value === "text" || value === "json";
    default:
      return Array.isArray(value) && value.every((item) => typeof item === "string");
  }
}

/** Parses settings from TOML text; `file` is for error messages. */
export function parseConfig(toml: string, file: string): ReadonlyMap<string, unknown> {
  const refuse = (key: string, why: string) => {
    const line = lineOf(toml, key);
    const where = line === undefined ? file : `${file}:${line}`;
    return new BerthError("invalid_argument", `${where}: ${why}`, { stage: "config", path: file });
  };
  let document: Record<string, unknown>;
  try {
    document = parse(toml);
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    const why = cause.message.split("\n")[0]!.replace(/^Invalid TOML document: /, "");
    throw new BerthError("invalid_argument", `${file}:${cause.line}: ${why}`, {
      stage: "config",
      path: file,
      cause,
    });
  }
  const out = new Map<string, unknown>();
  const take = (key: string, value: unknown) => {
    const check = KEYS[key];
    if (check === undefined) {
      const known = Object.keys(KEYS).join(", ");
      throw refuse(key, `unknown key ${JSON.stringify(key)}, expected one of ${known}`);
    }
    if (!fits(check, value))
      throw refuse(key, `${key} is ${JSON.stringify(value)}, expected ${EXPECTED[check]}`);
    out.set(key, value);
  };
  for (const [key, value] of Object.entries(document)) {
    if (TABLES.has(key) && typeof value === "object" && value !== null && !Array.isArray(value))
      for (const [inner, innerValue] of Object.entries(value)) take(`${key}.${inner}`, innerValue);
    else take(key, value);
  }
  return out;
}

/** Settings from a file (or none) and flags, merged over the defaults. */
export function loadConfig(file: string | undefined, flags: ConfigFlags): Config {
  let settings: ReadonlyMap<string, unknown> = new Map();
  if (file !== undefined) {
    let toml: string;
    try {
      toml = readFileSync(file, "utf8");
    } catch (cause) {
      const error = BerthError.from(cause);
      throw new BerthError(
        error.code,
        `cannot read the settings in ${file}: ${error.errno ?? error.message}`,
        {
          stage: "config",
          path: file,
          cause,
          hint: "correct --config, or leave it out",
        },
      );
    }
    settings = parseConfig(toml, file);
  }
  const get = <T>(key: string, fallback: T): T => (settings.get(key) as T | undefined) ?? fallback;
  const absolute = (flag: string, path: string) => {
    if (isAbsolute(path)) return path;
    throw new BerthError(
      "invalid_argument",
      `--${flag} is ${JSON.stringify(path)}, expected an absolute path`,
    );
  };
  const root = flags.root === undefined ? get("root", "/var/lib/berth") : absolute("root", flags.root);
  const state = flags.state === undefined ? get("state", "/run/berth") : absolute("state", flags.state);
  const level = flags.logLevel ?? get<string>("log.level", "info");
  if (!isLogLevel(level))
    throw new BerthError(
      "invalid_argument",
      `--log-level is ${JSON.stringify(level)}, expected ${EXPECTED.level}`,
    );
  const address =
    flags.address === undefined
      ? get("grpc.address", join(state, "berth.sock"))
      : absolute("address", flags.address);
  return {
    root,
    state,
    grpc: {
      address,
      uid: get("grpc.uid", 0),
      gid: get("grpc.gid", 0),
      maxMessageBytes: get("grpc.max_message_bytes", 16 << 20),
      maxConnections: get("grpc.max_connections", 1024),
    },
    ttrpc: { address: get("ttrpc.address", `${address}.ttrpc`) },
    log: { level, format: get("log.format", "text") },
    limits: {
      downloads: get("limits.downloads", 3) || 3,
      unpackers: get("limits.unpackers", 0),
      starts: get("limits.starts", 0),
    },
    logs: { maxSize: get("logs.max_size", 20 << 20), maxFiles: get("logs.max_files", 5) },
    metrics: { address: get("metrics.address", "") },
    runtimes: { builtIn: get("runtimes.built_in", BUILT_IN) },
    registry: { insecure: get("registry.insecure", []) },
  };
}
