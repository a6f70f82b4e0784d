/** Makes a container: image, name, snapshot, spec and record, in the order that leaves nothing behind on failure. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { BerthError, isCode } from "@berth/base";
import {
  type BerthClient,
  type Container,
  LABEL,
  type ResolvedImage,
  restartPolicyText,
  type SnapshotMount,
} from "@berth/client";
import type { ContainerOptions, MountWish, Seccomp } from "@berth/oci";
import type { Context } from "../command.ts";
import { usageError } from "../flags.ts";
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
import { checkNameFree } from "./find.ts";
import { availableCapabilities, hostDevices, kernelVersion } from "./host.ts";
import { userLabels } from "./labels.ts";
import { logPathFor, logRoot } from "./log-path.ts";
import { checkName, newId, randomName } from "./names.ts";
import { layersOf, readRootfsFile } from "./rootfs.ts";
import { ignoreMissing } from "./stop.ts";

/** A container that was made, with what starting it needs. */
export interface Created {
  container: Container;
  logPath: string;
}

/** Makes a container of an image and a command; see the module comment. */
export async function createContainer(
  context: Context,
  flags: CreateFlags,
  imageText: string,
  args: readonly string[],
  extraLabels: Readonly<Record<string, string>> = {},
): Promise<Created> {
  checkCreateFlags(flags);
  const name = flags.name === undefined ? randomName() : checkName(flags.name);
  const wishes = await wishesOf(flags);
  const { cidfile } = flags;
  if (cidfile === undefined) return make(context, flags, name, wishes, imageText, args, extraLabels);
  claimCidFile(cidfile);
  try {
    const made = await make(context, flags, name, wishes, imageText, args, extraLabels);
    writeFileSync(cidfile, made.container.id);
    return made;
  } catch (error) {
    rmSync(cidfile, { force: true });
    throw error;
  }
}

async function make(
  context: Context,
  flags: CreateFlags,
  name: string,
  wishes: readonly MountWish[],
  imageText: string,
  args: readonly string[],
  extraLabels: Readonly<Record<string, string>>,
): Promise<Created> {
  const client = await context.client();
  const [image, root] = await Promise.all([
    ensureImage(context, client, imageText, flags.pull ?? "missing"),
    logRoot(context, client),
    checkNameFree(client, name),
  ]);
  const id = newId();
  const logPath = logPathFor(root, context.namespace, id);
  const labels: Record<string, string> = {
    // An image says what it likes about itself, but nothing to the daemon.
    ...userLabels(image.config.config?.Labels ?? {}),
    ...labelsOf(flags.label),
    [LABEL.name]: name,
    [LABEL.logPath]: logPath,
    ...logLabelsOf(flags.logOpt),
    ...extraLabels,
  };
  const stopSignal = flags.stopSignal ?? image.config.config?.StopSignal;
  if (stopSignal) {
    parseSignal("--stop-signal", stopSignal);
    labels[LABEL.stopSignal] = stopSignal;
  }
  if (flags.stopTimeout !== undefined) labels[LABEL.stopTimeout] = flags.stopTimeout;
  const restart = restartOf(flags.restart);
  if (restart.name !== "no") labels[LABEL.restartPolicy] = restartPolicyText(restart);
  if (flags.interactive) labels[LABEL.openStdin] = "true";
  const runtime = runtimeOf(flags.runtime);
  if (runtime !== undefined) labels[LABEL.shim] = "external";
  try {
    const { containerSpec, resolveUser } = await import("@berth/oci");
    const [options, mounts] = await Promise.all([
      optionsOf(context, flags, wishes, id, args),
      prepare(client, image, id),
    ]);
    // Only the files of the root file system tell who that is.
    const layers = layersOf(mounts);
    const who = flags.user ?? image.config.config?.User ?? "";
    const user = resolveUser(who, readRootfsFile(layers, "etc/passwd"), readRootfsFile(layers, "etc/group"));
    for (const { createSource, mount } of wishes) if (createSource) makeSource(mount.source!);
    // The record comes last, and whole: whenever the daemon or this command is killed, there is a container or there is none.
    const container = await client.containers.create({
      id,
      image: image.image.name,
      labels,
      spec: containerSpec(image.config, { ...options, user }),
      snapshotter: client.snapshotter,
      snapshotKey: id,
      ...(runtime === undefined ? {} : { runtime }),
    });
    return { container, logPath };
  } catch (error) {
    // It may have been made, and only its answer lost.
    await ignoreMissing(client.containers.raw.delete({ id })).catch(() => {});
    await ignoreMissing(client.snapshots.remove(id)).catch(() => {});
    throw error;
  }
}

/** How long the collector leaves a snapshot alone whose container is not there yet, in milliseconds. */
const HOLD_MS = 60_000;

/** How often a snapshot is asked for: its parent may be missing at first, and be collected before it has a child. */
const PREPARE_TRIES = 3;

async function prepare(client: BerthClient, image: ResolvedImage, id: string): Promise<SnapshotMount[]> {
  const make = () => {
    const until = new Date(Date.now() + HOLD_MS).toISOString();
    return client.snapshots.prepare(id, image.chainId, { [LABEL.heldUntil]: until });
  };
  for (let left = PREPARE_TRIES; ; left--) {
    try {
      return await make();
    } catch (error) {
      if (left === 1 || !isCode(error, "not_found") || image.chainId === "") throw error;
      // The image was stored but never unpacked (for instance imported with --no-unpack), or collected in between.
      await client.images.unpack(image.image.name);
    }
  }
}

async function wishesOf(flags: CreateFlags): Promise<MountWish[]> {
  if (flags.volume.length + flags.mount.length + flags.tmpfs.length === 0) return [];
  const { parseMount, parseTmpfs, parseVolume } = await import("@berth/oci");
  return [
    // docker's command line resolves what begins with "." against the working directory.
    ...flags.volume.map((text) => {
      const at = text.indexOf(":");
      return parseVolume(at > 0 && text.startsWith(".") ? resolve(text.slice(0, at)) + text.slice(at) : text);
    }),
    ...flags.mount.map(parseMount),
    ...flags.tmpfs.map(parseTmpfs),
  ];
}

async function optionsOf(
  context: Context,
  flags: CreateFlags,
  wishes: readonly MountWish[],
  id: string,
  args: readonly string[],
): Promise<ContainerOptions> {
  const oci = await import("@berth/oci");
  const available = availableCapabilities();
  const security = securityOf(flags.securityOpt);
  const options: ContainerOptions = {
    id,
    namespace: context.namespace,
    args,
    env: environmentOf(flags, context.env),
    terminal: flags.tty,
    network: networkOf(flags),
    mounts: wishes.map(({ mount }) => mount),
    readonly: flags.readOnly,
    privileged: flags.privileged,
    capAdd: flags.capAdd.flatMap((word) => word.split(",")),
    capDrop: flags.capDrop.flatMap((word) => word.split(",")),
    noNewPrivileges: security.noNewPrivileges,
    rlimits: rlimitsOf(flags.ulimit),
    sysctl: sysctlOf(flags.sysctl),
    ...present("availableCapabilities", available),
    ...(flags.privileged ? { hostDevices: hostDevices() } : {}),
    ...present(
      "entrypoint",
      flags.entrypoint === undefined ? undefined : flags.entrypoint === "" ? [] : [flags.entrypoint],
    ),
    ...present("cwd", flags.workdir),
    ...present("hostname", flags.hostname ?? (networkOf(flags) === "host" ? hostName() : undefined)),
    ...present("memory", memoryOf(flags.memory)),
    ...present("cpus", cpusOf(flags.cpus)),
    ...present("pids", pidsOf(flags.pidsLimit)),
    ...present("shmBytes", flags.shmSize === undefined ? undefined : parseSize("--shm-size", flags.shmSize)),
  };
  const seccomp = security.seccomp ?? defaultSeccomp(oci, options);
  return seccomp === undefined || seccomp === "unconfined" ? options : { ...options, seccomp };
}

function present<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]: V });
}

function hostName(): string {
  return readFileSync("/proc/sys/kernel/hostname", "utf8").trim();
}

function defaultSeccomp(oci: typeof import("@berth/oci"), options: ContainerOptions): Seccomp | undefined {
  const machine = oci.machineOfNodeArch(process.arch);
  if (machine === undefined || options.privileged) return undefined;
  const kernel = kernelVersion();
  const capabilities = oci.chooseCapabilities({
    add: options.capAdd ?? [],
    drop: options.capDrop ?? [],
    ...present("available", options.availableCapabilities),
  });
  return oci.dockerSeccomp({ machine, capabilities, ...present("kernel", kernel) });
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
  return { noNewPrivileges, ...(seccomp === undefined ? {} : { seccomp }) };
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

// Taken at once, so that of two commands with the same file one is refused.
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

function makeSource(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (cause) {
    // A file is as good a source as a directory.
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw BerthError.from(cause, "volume");
  }
}
