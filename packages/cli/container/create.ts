/** Creates a container from the flags of `run` and `create`. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { BerthError, present } from "@berth/base";
import { type Container, type CreateContainer, isContainerName } from "@berth/client";
import type { MountRequest, Seccomp } from "@berth/oci";
import type { Context } from "../command.ts";
import { usageError, wholeNumber } from "../flags.ts";
import { ensureImage } from "../image/ensure.ts";
import { parseSignal } from "../signals.ts";
import { parseSize } from "../units.ts";
import {
  type CreateFlags,
  checkCreateFlags,
  cpusOf,
  environmentOf,
  labelsOf,
  logLabelsOf,
  memoryOf,
  networkOf,
  pidsOf,
  restartOf,
  rlimitsOf,
  runtimeOf,
  sysctlOf,
} from "./create-flags.ts";

/** Creates a container from an image and a command. */
export async function createContainer(
  context: Context,
  flags: CreateFlags,
  image: string,
  args: readonly string[],
  autoRemove?: CreateContainer["autoRemove"],
): Promise<Container> {
  checkCreateFlags(flags);
  if (flags.name !== undefined && !isContainerName(flags.name))
    throw usageError(
      `--name: found "${flags.name}", expected letters, digits, "_", "." and "-", at least two, the first a letter or digit`,
    );
  const mounts = await mountsOf(flags);
  const options = { ...optionsOf(context, flags, args), mounts, ...present({ autoRemove }) };
  const { cidfile } = flags;
  if (cidfile === undefined) return make(context, flags, image, options);
  claimCidFile(cidfile);
  try {
    const made = await make(context, flags, image, options);
    writeFileSync(cidfile, made.id);
    return made;
  } catch (error) {
    rmSync(cidfile, { force: true });
    throw error;
  }
}

async function make(
  context: Context,
  flags: CreateFlags,
  image: string,
  options: Omit<CreateContainer, "image">,
): Promise<Container> {
  const client = await context.client();
  const fetched = async () => {
    const resolved = await ensureImage(context, client, image, flags.pull ?? "missing");
    const stopSignal = options.stopSignal ?? resolved.config.config?.StopSignal;
    if (stopSignal) parseSignal("--stop-signal", stopSignal);
    return resolved;
  };
  return client.containers.create({ ...options, image: fetched() });
}

async function mountsOf(flags: CreateFlags): Promise<MountRequest[]> {
  if (flags.volume.length + flags.mount.length + flags.tmpfs.length === 0) return [];
  const { parseMount, parseTmpfs, parseVolume } = await import("@berth/oci");
  return [
    // docker's command line resolves paths that begin with "." against the working directory.
    ...flags.volume.map((text) => {
      const at = text.indexOf(":");
      return parseVolume(at > 0 && text.startsWith(".") ? resolve(text.slice(0, at)) + text.slice(at) : text);
    }),
    ...flags.mount.map(parseMount),
    ...flags.tmpfs.map(parseTmpfs),
  ];
}

function optionsOf(
  context: Context,
  flags: CreateFlags,
  args: readonly string[],
): Omit<CreateContainer, "image"> {
  const security = securityOf(flags.securityOpt);
  return {
    args,
    env: environmentOf(flags, context.env),
    labels: { ...labelsOf(flags.label), ...logLabelsOf(flags.logOpt) },
    terminal: flags.tty,
    openStdin: flags.interactive,
    network: networkOf(flags),
    readonly: flags.readOnly,
    privileged: flags.privileged,
    capAdd: flags.capAdd.flatMap((word) => word.split(",")),
    capDrop: flags.capDrop.flatMap((word) => word.split(",")),
    noNewPrivileges: security.noNewPrivileges,
    rlimits: rlimitsOf(flags.ulimit),
    sysctl: sysctlOf(flags.sysctl),
    restart: restartOf(flags.restart),
    ...present({
      name: flags.name,
      user: flags.user,
      entrypoint:
        flags.entrypoint === undefined ? undefined : flags.entrypoint === "" ? [] : [flags.entrypoint],
      cwd: flags.workdir,
      hostname: flags.hostname,
      memory: memoryOf(flags.memory),
      cpus: cpusOf(flags.cpus),
      pids: pidsOf(flags.pidsLimit),
      shmBytes: flags.shmSize === undefined ? undefined : parseSize("--shm-size", flags.shmSize),
      seccomp: security.seccomp,
      stopSignal: flags.stopSignal,
      stopTimeout:
        flags.stopTimeout === undefined ? undefined : wholeNumber("--stop-timeout", flags.stopTimeout, -1),
      runtime: runtimeOf(flags.runtime),
    }),
  };
}

function securityOf(texts: readonly string[]): {
  noNewPrivileges: boolean;
  seccomp?: Seccomp | "unconfined";
} {
  let noNewPrivileges = false;
  let seccomp: Seccomp | "unconfined" | undefined;
  for (const entry of texts) {
    const [key, value = ""] = entry.split(/[=:](.*)/s) as [string, string?];
    if (key === "no-new-privileges") noNewPrivileges = value !== "false";
    else if (key === "seccomp") seccomp = value === "unconfined" ? value : readProfile(value);
    else throw usageError(`--security-opt: found "${entry}", expected no-new-privileges or seccomp=...`);
  }
  return { noNewPrivileges, ...present({ seccomp }) };
}

function readProfile(path: string): Seccomp {
  let profile: unknown;
  try {
    profile = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new BerthError(
      "invalid_argument",
      `--security-opt seccomp: cannot read ${path}: ${(cause as Error).message}`,
      { path, cause },
    );
  }
  const { archMap, syscalls } = profile as {
    archMap?: unknown;
    syscalls?: { includes?: unknown; excludes?: unknown }[];
  };
  if (archMap !== undefined || syscalls?.some((rule) => rule.includes || rule.excludes))
    throw usageError(
      `--security-opt seccomp: ${path} has docker's conditions (archMap, includes, excludes); expected a profile in the runtime specification's form`,
    );
  return profile as Seccomp;
}

// Created exclusively, so that of two commands with the same file one is refused.
function claimCidFile(path: string): void {
  try {
    writeFileSync(path, "", { flag: "wx" });
  } catch (cause) {
    const exists = (cause as NodeJS.ErrnoException).code === "EEXIST";
    throw new BerthError(
      exists ? "already_exists" : "invalid_argument",
      `--cidfile: ${exists ? `${path} already exists` : (cause as Error).message}`,
      {
        path,
        cause,
        ...(exists ? { hint: "Remove the file, or name another." } : {}),
      },
    );
  }
}
