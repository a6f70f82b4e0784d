/** The daemon's configuration: a TOML file of berth's form or of containerd's, then flags. */
import { existsSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { BerthError, isLogLevel } from "@berth/base";
import { readTextFile } from "../../base/core/text-file.ts";
import { Document } from "../../base/toml/document.ts";
import { type Ignored, isContainerdForm, readContainerdForm } from "./containerd-form.ts";
import {
  isSetting,
  readSetting,
  SETTINGS,
  type SettingName,
  type Settings,
  type SettingValue,
} from "./settings.ts";

const DEFAULT_FILE = "/etc/berth/config.toml";

/** A value for every setting. */
export type Config = { readonly [K in SettingName]: SettingValue<K> };

/** Settings from the command line; undefined keeps the file's. */
export interface ConfigFlags {
  root?: string;
  state?: string;
  address?: string;
  logLevel?: string;
}

/** What a file says. */
export interface FileSettings {
  settings: Settings;
  /** Keys of a containerd's file that mean nothing to berth. */
  ignored: readonly Ignored[];
}

/** The file of settings: the one that is given, or the default one, if it exists. */
export function configFile(given: string | undefined): string | undefined {
  return given ?? (existsSync(DEFAULT_FILE) ? DEFAULT_FILE : undefined);
}

/** Reads settings from TOML text; `file` is for error messages and imports. */
export function parseConfig(toml: string, file: string): FileSettings {
  const document = new Document(toml, file);
  if (isContainerdForm(document)) return readContainerdForm(document);
  return { settings: readOwnForm(document), ignored: [] };
}

function readOwnForm(document: Document): Settings {
  const settings: Record<string, unknown> = {};
  for (const { key, value } of document.entries((key) => isSetting(key.join(".")))) {
    const name = key.join(".");
    if (!isSetting(name)) {
      const known = Object.keys(SETTINGS).join(", ");
      const containerd = name.startsWith("plugins.") ? "; a containerd's file begins with its version" : "";
      throw document.refusal(
        key,
        `unknown key ${JSON.stringify(name)}, expected one of ${known}${containerd}`,
      );
    }
    settings[name] = readSetting(document, key, name, value, name);
  }
  return settings as Settings;
}

/** Reads a file of settings; without a file there are none. */
export function readConfig(file: string | undefined): FileSettings {
  if (file === undefined) return { settings: {}, ignored: [] };
  const toml = readTextFile(file, "cannot read the settings in", {
    stage: "config",
    hint: "correct --config, or leave it out",
  });
  return parseConfig(toml, file);
}

/** The configuration of a daemon with a file's settings and these flags. */
export function configOf(settings: Settings, flags: ConfigFlags): Config {
  const set = { ...settings, ...flagSettings(flags) };
  const value = <K extends SettingName>(name: K): SettingValue<K> | undefined =>
    (set[name] ?? SETTINGS[name].fallback) as SettingValue<K> | undefined;
  const root = value("root")!;
  const address = value("grpc.address") ?? join(value("state")!, "berth.sock");
  const derived: Settings = {
    "grpc.address": address,
    "ttrpc.address": `${address}.ttrpc`,
    "overlayfs.root": join(root, "snapshots/overlayfs"),
    "btrfs.root": join(root, "snapshots/btrfs"),
    "native.root": join(root, "snapshots/native"),
  };
  const names = Object.keys(SETTINGS) as SettingName[];
  return Object.fromEntries(names.map((name) => [name, value(name) ?? derived[name]])) as Config;
}

function flagSettings({ root, state, address, logLevel }: ConfigFlags): Settings {
  const settings: Record<string, string> = {};
  for (const [flag, name, path] of [
    ["root", "root", root],
    ["state", "state", state],
    ["address", "grpc.address", address],
  ] as const) {
    if (path === undefined) continue;
    if (!isAbsolute(path))
      throw new BerthError(
        "invalid_argument",
        `--${flag} is ${JSON.stringify(path)}, expected an absolute path`,
      );
    settings[name] = path;
  }
  if (logLevel !== undefined) {
    if (!isLogLevel(logLevel))
      throw new BerthError(
        "invalid_argument",
        `--log-level is ${JSON.stringify(logLevel)}, expected ${SETTINGS["log.level"].expected}`,
      );
    settings["log.level"] = logLevel;
  }
  return settings as Settings;
}

/** The configuration from a file (or none) and flags. */
export function loadConfig(file: string | undefined, flags: ConfigFlags): Config {
  return configOf(readConfig(file).settings, flags);
}
