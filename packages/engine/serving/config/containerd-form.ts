/**
 * Reads a config.toml of containerd, versions 2 to 4: what means something to berth becomes its settings, everything
 * else is named.
 */
import { Document, isTable } from "../../base/toml/document.ts";
import { importedFiles } from "./imports.ts";
import { readSetting, SETTINGS, type SettingName, type Settings } from "./settings.ts";

/** A key that means nothing to berth. */
export interface Ignored {
  key: string;
  /** "FILE:LINE:COLUMN". */
  where: string;
  why: string;
}

const VERSIONS: readonly unknown[] = [2, 3, 4];
const SERVER = "plugins/io.containerd.server.v1";
const SNAPSHOTTER = "plugins/io.containerd.snapshotter.v1";

/** Berth's settings by containerd's keys; "/" separates the tables' names, which have dots. */
const PLACES: Readonly<Record<string, SettingName>> = {
  root: "root",
  state: "state",
  oom_score: "oom_score",
  disabled_plugins: "disabled_plugins",
  required_plugins: "required_plugins",
  "grpc/address": "grpc.address",
  "grpc/uid": "grpc.uid",
  "grpc/gid": "grpc.gid",
  "grpc/max_recv_message_size": "grpc.max_message_bytes",
  "grpc/tcp_address": "tcp.address",
  "grpc/tcp_tls_ca": "tcp.ca",
  "grpc/tcp_tls_cert": "tcp.cert",
  "grpc/tcp_tls_key": "tcp.key",
  "grpc/tcp_tls_common_name": "tcp.common_name",
  "ttrpc/address": "ttrpc.address",
  "debug/address": "debug.address",
  "debug/level": "log.level",
  "debug/format": "log.format",
  "metrics/address": "metrics.address",
  [`${SERVER}.grpc/address`]: "grpc.address",
  [`${SERVER}.grpc/uid`]: "grpc.uid",
  [`${SERVER}.grpc/gid`]: "grpc.gid",
  [`${SERVER}.grpc/max_recv_message_size`]: "grpc.max_message_bytes",
  [`${SERVER}.grpc-tcp/address`]: "tcp.address",
  [`${SERVER}.grpc-tcp/tls_ca`]: "tcp.ca",
  [`${SERVER}.grpc-tcp/tls_cert`]: "tcp.cert",
  [`${SERVER}.grpc-tcp/tls_key`]: "tcp.key",
  [`${SERVER}.grpc-tcp/tls_common_name`]: "tcp.common_name",
  [`${SERVER}.debug/address`]: "debug.address",
  "plugins/io.containerd.image-verifier.v1.bindir/bin_dir": "verifiers.bin_dir",
  "plugins/io.containerd.image-verifier.v1.bindir/max_verifiers": "verifiers.max",
  "plugins/io.containerd.image-verifier.v1.bindir/per_verifier_timeout": "verifiers.timeout",
  [`${SERVER}.ttrpc/address`]: "ttrpc.address",
  [`${SERVER}.metrics/address`]: "metrics.address",
  "plugins/io.containerd.gc.v1.scheduler/pause_threshold": "gc.pause_threshold",
  "plugins/io.containerd.gc.v1.scheduler/deletion_threshold": "gc.deletion_threshold",
  "plugins/io.containerd.gc.v1.scheduler/schedule_delay": "gc.schedule_delay",
  "plugins/io.containerd.gc.v1.scheduler/startup_delay": "gc.startup_delay",
  "plugins/io.containerd.metadata.v1.bolt/content_sharing_policy": "content.sharing",
  "plugins/io.containerd.transfer.v1.local/max_concurrent_downloads": "limits.downloads",
  "plugins/io.containerd.transfer.v1.local/config_path": "registry.config_path",
  "plugins/io.containerd.grpc.v1.cri/registry/config_path": "registry.config_path",
  "plugins/io.containerd.cri.v1.images/registry/config_path": "registry.config_path",
  [`${SNAPSHOTTER}.overlayfs/root_path`]: "overlayfs.root",
  [`${SNAPSHOTTER}.overlayfs/mount_options`]: "overlayfs.mount_options",
  [`${SNAPSHOTTER}.overlayfs/sync_remove`]: "overlayfs.sync_remove",
  [`${SNAPSHOTTER}.overlayfs/upperdir_label`]: "overlayfs.upperdir_label",
  [`${SNAPSHOTTER}.btrfs/root_path`]: "btrfs.root",
  [`${SNAPSHOTTER}.native/root_path`]: "native.root",
};

/** Why other keys mean nothing, by the beginning of the key. */
const REASONS: readonly (readonly [prefix: string, why: string])[] = [
  ["proxy_plugins/", "only snapshotters can be other programs"],
  ["temp", "temporary files are below root and state"],
  ["cgroup/", "berthd stays in the cgroup that it was started in"],
  ["timeouts/", "berth has no such time limit"],
  ["plugins/io.containerd.grpc.v1.cri/", "berth does not serve CRI yet"],
  ["plugins/io.containerd.cri.v1.", "berth does not serve CRI yet"],
  ["plugins/io.containerd.nri.v1.nri/", "berth has no NRI"],
  ["plugins/io.containerd.gc.v1.scheduler/mutation_threshold", "berth collects after deletions and expiry"],
  [
    "plugins/io.containerd.internal.v1.restart/",
    "berth restarts a container when it exits, not by the clock",
  ],
  [
    "plugins/io.containerd.monitor.container.v1.restart/",
    "berth restarts a container when it exits, not by the clock",
  ],
  [`${SNAPSHOTTER}.`, "berth has no such snapshotter or setting of it"],
];

/** Whether a file is containerd's: those begin with a version. */
export function isContainerdForm({ root }: Document): boolean {
  return typeof root.version === "number";
}

/** Reads a file and those that it imports, which have the last word. */
export function readContainerdForm(document: Document): { settings: Settings; ignored: Ignored[] } {
  const into: Reading = { settings: {}, ignored: [], seen: new Set([document.file]) };
  read(document, into);
  return { settings: into.settings as Settings, ignored: into.ignored };
}

interface Reading {
  settings: Record<string, unknown>;
  ignored: Ignored[];
  /** Files that were read. */
  seen: Set<string>;
}

/** Imported files need no version of their own. */
function read(document: Document, into: Reading, inherited?: unknown): void {
  const { version = inherited, imports } = document.root;
  if (!VERSIONS.includes(version))
    throw document.refusal(
      ["version"],
      `version is ${JSON.stringify(version)}, expected 2, 3 or 4, the versions of containerd's file`,
    );
  for (const { key, value } of document.entries((key) => key.length === 2 && TABLES.has(key[0]!))) {
    const path = key.join("/");
    const table = tableSetting(key, value);
    if (table !== undefined) {
      const found = SETTINGS[table].read({ [key[1]!]: value });
      if (found === undefined)
        throw document.refusal(
          key,
          `${key.map(quoted).join(".")} is wrong, expected ${SETTINGS[table].expected}`,
        );
      const before = into.settings[table];
      into.settings[table] = Array.isArray(found)
        ? [...((before as unknown[] | undefined) ?? []), ...found]
        : { ...(before as object | undefined), ...found };
      continue;
    }
    if (path === "version" || path === "imports" || isUnset(value)) continue;
    const name = Object.hasOwn(PLACES, path) ? PLACES[path]! : undefined;
    if (name === undefined) {
      const why = REASONS.find(([prefix]) => path.startsWith(prefix))?.[1] ?? "berth has no such setting";
      into.ignored.push({ key: key.map(quoted).join("."), where: document.where(key), why });
      continue;
    }
    const found = readSetting(document, key, name, value, key.map(quoted).join("."));
    const before = into.settings[name];
    // As in containerd, an imported file adds to these lists.
    into.settings[name] = Array.isArray(before) && Array.isArray(found) ? [...before, ...found] : found;
  }
  if (imports === undefined) return;
  if (!Array.isArray(imports) || !imports.every((item) => typeof item === "string"))
    throw document.refusal(["imports"], `imports is ${JSON.stringify(imports)}, expected a list of paths`);
  for (const [file, text] of importedFiles(imports, document.file)) {
    if (into.seen.has(file)) continue;
    into.seen.add(file);
    read(new Document(text, file), into, version);
  }
}

/** Settings that are tables of the same name and form in both. */
const TABLES: ReadonlySet<string> = new Set(["proxy_plugins", "stream_processors"]);

/** The setting of which a table is a part; undefined for other keys, and for proxies that berth does not have. */
function tableSetting(
  key: readonly string[],
  value: unknown,
): "proxy_plugins" | "stream_processors" | undefined {
  const [name] = key;
  if (key.length !== 2 || !TABLES.has(name!) || !isTable(value)) return undefined;
  if (name === "proxy_plugins" && value.type !== "snapshot") return undefined;
  return name as "proxy_plugins" | "stream_processors";
}

/** containerd's own form of "not set". */
function isUnset(value: unknown): boolean {
  return value === "" || (isTable(value) && Object.keys(value).length === 0);
}

function quoted(part: string): string {
  return /^[A-Za-z0-9_-]+$/.test(part) ? part : `'${part}'`;
}
