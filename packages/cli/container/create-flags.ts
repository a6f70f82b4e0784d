/** Flags of `run` and `create`. */
import { readFileSync } from "node:fs";
import { BerthError, MAX_LOG_FILES } from "@berth/base";
import { LABEL, parseRestartPolicy, type RestartPolicy } from "@berth/client";
import { bool, type FlagTable, type FlagValues, list, text, usageError, wholeNumber } from "../flags.ts";
import { parseSize } from "../units.ts";

/** Minimum size of a log file: smaller ones would be rotated faster than they can be read. */
const MIN_LOG_BYTES = 4096;

/** Flags that configure a container. */
export const CREATE_FLAGS = {
  interactive: bool("Keep standard input open", "i"),
  tty: bool("Give it a terminal", "t"),
  rm: bool("Remove it when it has ended"),
  name: text("NAME", "Its name"),
  env: list("NAME[=VALUE]", "Set a variable; without a value, take berth's own", "e"),
  envFile: list("FILE", "Set variables from a file"),
  volume: list("SOURCE:DESTINATION[:OPTIONS]", "Mount a directory or file of the host", "v"),
  mount: list("type=bind|tmpfs,...", "Mount something"),
  tmpfs: list("DESTINATION[:OPTIONS]", "Mount an empty file system in memory"),
  workdir: text("DIRECTORY", "Working directory", "w"),
  user: text("USER[:GROUP]", "Name or number of user and group", "u"),
  memory: text("BYTES", "Memory limit: 512m, 2g", "m"),
  cpus: text("NUMBER", "Processors it may use: 1.5"),
  pidsLimit: text("NUMBER", "Processes it may have; -1 for no limit"),
  hostname: text("NAME", "Its host name"),
  entrypoint: text("COMMAND", "Instead of the image's entrypoint"),
  readOnly: bool("Make the root file system read-only"),
  privileged: bool("All capabilities and devices, nothing hidden"),
  capAdd: list("CAPABILITY", "Add a capability, or ALL"),
  capDrop: list("CAPABILITY", "Drop a capability, or ALL"),
  securityOpt: list("OPTION", "no-new-privileges, seccomp=unconfined or seccomp=FILE"),
  network: text("host|none", 'Network: the host\'s, or none (default "none")'),
  net: text("host|none", "Same as --network"),
  restart: text(
    "POLICY",
    'Start it again when it has ended: no, always, unless-stopped or on-failure[:MAX] (default "no")',
  ),
  runtime: text("NAME", "Another runtime than berth's own, by its shim: io.containerd.runc.v2"),
  label: list("KEY[=VALUE]", "Set a label", "l"),
  logOpt: list("KEY=VALUE", "How far its log grows: max-size=20m (-1 without end), max-file=5"),
  shmSize: text("BYTES", "Size of /dev/shm (default 64m)"),
  sysctl: list("NAME=VALUE", "Set a kernel parameter of its namespaces"),
  ulimit: list("NAME=SOFT[:HARD]", "Set a resource limit"),
  stopSignal: text("SIGNAL", "Signal that asks it to end"),
  stopTimeout: text("SECONDS", "How long it then has to end; -1 for ever"),
  pull: text("missing|always|never", 'When to fetch the image (default "missing")'),
  cidfile: text("FILE", "Write its id into a file"),
  detachKeys: text("KEYS", 'Keys that leave it running (default "ctrl-p,ctrl-q")'),
} as const satisfies FlagTable;

/** Values of {@link CREATE_FLAGS}. */
export type CreateFlags = FlagValues<typeof CREATE_FLAGS>;

/** Refuses unsupported flags by name, before anything is created. */
export function checkCreateFlags(flags: CreateFlags): void {
  const network = flags.network ?? flags.net ?? "none";
  if (network !== "host" && network !== "none")
    throw usageError(
      `--network: found "${network}", expected host or none (no other network is supported yet)`,
    );
  if (restartOf(flags.restart).name !== "no" && flags.rm)
    throw usageError("conflicting options: cannot specify both --restart and --rm");
  if (flags.stopTimeout !== undefined) wholeNumber("--stop-timeout", flags.stopTimeout, -1);
  if (flags.pull !== undefined && !["missing", "always", "never"].includes(flags.pull))
    throw usageError(`--pull: found "${flags.pull}", expected missing, always or never`);
}

/** Labels for the --log-opt options. */
export function logLabelsOf(options: readonly string[]): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const option of options) {
    const [key, value = ""] = option.split(/=(.*)/s) as [string, string?];
    if (key === "max-size")
      labels[LABEL.logMaxSize] = value === "-1" ? "0" : String(parseSize("--log-opt max-size", value));
    else if (key === "max-file") {
      const files = wholeNumber("--log-opt max-file", value, 1);
      if (files > MAX_LOG_FILES)
        throw usageError(`--log-opt max-file: found "${value}", expected at most ${MAX_LOG_FILES}`);
      labels[LABEL.logMaxFiles] = String(files);
    } else throw usageError(`--log-opt: found "${key}", expected max-size or max-file`);
  }
  if (labels[LABEL.logMaxSize] !== undefined && labels[LABEL.logMaxSize] !== "0")
    if (Number(labels[LABEL.logMaxSize]) < MIN_LOG_BYTES)
      throw usageError(
        `--log-opt max-size: expected at least ${MIN_LOG_BYTES} bytes, or -1 for a log without end`,
      );
  return labels;
}

/** Parses --restart; empty means none, as in docker. */
export function restartOf(text: string | undefined): RestartPolicy {
  try {
    return parseRestartPolicy("--restart", text || "no");
  } catch (error) {
    throw usageError(BerthError.from(error).message);
  }
}

/** A runtime's full name; undefined means berth's own. As with docker, "runc" is the default one. */
export function runtimeOf(name: string | undefined): string | undefined {
  if (name === undefined || name === "berth" || name === "io.containerd.berth.v1") return undefined;
  return name === "runc" ? "io.containerd.runc.v2" : name;
}

/** The network mode. */
export function networkOf(flags: CreateFlags): "host" | "none" {
  return (flags.network ?? flags.net) === "host" ? "host" : "none";
}

/** Variables of --env-file and --env, in that order, as docker merges them. */
export function environmentOf(
  flags: Pick<CreateFlags, "env" | "envFile">,
  own: Readonly<Record<string, string | undefined>>,
): string[] {
  const lines = flags.envFile.flatMap((path) => readEnvFile(path));
  return [...lines, ...flags.env].flatMap((entry) => {
    if (entry.startsWith("=") || entry === "")
      throw usageError(`--env: found "${entry}", expected NAME=VALUE`);
    if (entry.includes("=")) return [entry];
    const value = own[entry];
    // Without a value on the host, the image's stays.
    return value === undefined ? [] : [`${entry}=${value}`];
  });
}

function readEnvFile(path: string): string[] {
  let content: string;
  try {
    content = readFileSync(path, "utf8");
  } catch (cause) {
    throw new BerthError("invalid_argument", `--env-file: cannot read ${path}: ${(cause as Error).message}`, {
      path,
      cause,
    });
  }
  return content
    .split("\n")
    .map((line) => line.replace(/^\s+|\r$/g, ""))
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line, i) => {
      if (/^[^=]*\s/.test(line.split("=")[0]!))
        throw usageError(`--env-file ${path}, line ${i + 1}: a variable's name has a space in it`);
      return line;
    });
}

/** Parses --label entries. */
export function labelsOf(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((entry) => {
      const at = entry.indexOf("=");
      const key = at < 0 ? entry : entry.slice(0, at);
      if (key === "" || key.startsWith("berth/"))
        throw usageError(`--label: found "${entry}", expected KEY=VALUE`);
      return [key, at < 0 ? "" : entry.slice(at + 1)];
    }),
  );
}

/** --memory in bytes; docker's minimum is what a container needs to start at all. */
export function memoryOf(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const bytes = parseSize("--memory", value);
  if (bytes !== 0 && bytes < 6 * 2 ** 20)
    throw usageError(`--memory: found "${value}", expected at least 6m`);
  return bytes === 0 ? undefined : bytes;
}

/** --cpus as a number. */
export function cpusOf(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  // The kernel's smallest quota is a millisecond per 100 ms period.
  if (!/^\d*\.?\d+$/.test(value) || number < 0.01)
    throw usageError(`--cpus: found "${value}", expected a number from 0.01 on`);
  return number;
}

/** --pids-limit as a number; 0 and -1 both mean unlimited. */
export function pidsOf(value: string | undefined): number | undefined {
  return value === undefined ? undefined : wholeNumber("--pids-limit", value, -1);
}

/** Parses --ulimit entries. */
export function rlimitsOf(
  texts: readonly string[],
): { type: string; soft: number | bigint; hard: number | bigint }[] {
  return texts.map((entry) => {
    const match = /^([a-z]+)=(-1|\d+|unlimited)(?::(-1|\d+|unlimited))?$/.exec(entry);
    if (!match)
      throw usageError(
        `--ulimit: found "${entry}", expected NAME=SOFT[:HARD], for instance nofile=1024:4096`,
      );
    const number = (word: string) =>
      word === "-1" || word === "unlimited" ? 18446744073709551615n : Number(word);
    const soft = number(match[2]!);
    return {
      type: `RLIMIT_${match[1]!.toUpperCase()}`,
      soft,
      hard: match[3] === undefined ? soft : number(match[3]),
    };
  });
}

/** Parses --sysctl entries. */
export function sysctlOf(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((entry) => {
      const at = entry.indexOf("=");
      if (at < 1) throw usageError(`--sysctl: found "${entry}", expected NAME=VALUE`);
      return [entry.slice(0, at), entry.slice(at + 1)];
    }),
  );
}
