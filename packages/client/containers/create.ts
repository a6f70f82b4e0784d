/**
 * Creating a container: its snapshot first, its complete record last. The record is what makes the container exist;
 * until then a label on the snapshot holds off the garbage collector. A failure is rolled back; if the client is
 * killed in between, the daemon cleans up.
 */
import { mkdirSync, readFileSync } from "node:fs";
import { LABEL } from "@berth/api/labels";
import { parseRestartPolicy, type RestartPolicy, restartPolicyText } from "@berth/api/restartPolicy";
import { BerthError, ignoreMissing, isCode, present } from "@berth/base";
import {
  type ContainerOptions,
  chooseCapabilities,
  containerSpec,
  dockerSeccomp,
  type MountRequest,
  machineOfNodeArch,
  resolveUser,
  type Seccomp,
} from "@berth/oci";
import type { CallOptions } from "@berth/rpc";
import type { PullPolicy, ResolvedImage } from "../images.ts";
import type { SnapshotMount } from "../snapshots.ts";
import type { Container } from "./container.ts";
import type { ContainerHost } from "./host.ts";
import { logPathFor, logRoot } from "./log-path.ts";
import { availableCapabilities, hostDevices, kernelVersion } from "./machine.ts";
import { isContainerName, newId, randomName } from "./names.ts";
import { layersOf, readRootfsFile } from "./rootfs-files.ts";

/** A container to create; only the image is required. Omitted options default to the image's, or docker's. */
export interface CreateContainer
  extends Omit<
    ContainerOptions,
    "id" | "namespace" | "user" | "mounts" | "seccomp" | "availableCapabilities" | "hostDevices"
  > {
  /** A reference ("alpine:3.20"), or an image that is resolved, or being resolved. */
  image: string | ResolvedImage | Promise<ResolvedImage>;
  /** When to pull the image. Default: "missing". */
  pull?: PullPolicy;
  /** Letters, digits, "_", "." and "-"; unique in the namespace. Default: a random one. */
  name?: string;
  /** Additional labels; they override those of the image. */
  labels?: Readonly<Record<string, string>>;
  /** "user" or "user:group", each a name of the image or a number. */
  user?: string;
  /** From `parseVolume`, `parseMount`, `parseTmpfs` of @berth/oci. */
  mounts?: readonly MountRequest[];
  /** Default: docker's profile. */
  seccomp?: Seccomp | "unconfined";
  /** Signal that asks it to exit, "SIGQUIT". */
  stopSignal?: string;
  /** Grace period in seconds; -1 for no limit. */
  stopTimeout?: number;
  /** When the daemon restarts it: "always", "unless-stopped", "on-failure:3". */
  restart?: string | RestartPolicy;
  /** The daemon removes it once it has exited; see {@link LABEL.autoRemove} for which client starts it. */
  autoRemove?: "true" | "detached" | "attached";
  /** Standard input is kept open for the client that starts it. */
  openStdin?: boolean;
  /** A runtime other than berth's own, by its shim: "io.containerd.runc.v2". */
  runtime?: string;
}

/** Creates a container; see the module comment. */
export async function createContainer(
  client: ContainerHost,
  options: CreateContainer,
  call: CallOptions,
): Promise<Container> {
  const name = options.name ?? randomName();
  if (!isContainerName(name))
    throw new BerthError(
      "invalid_argument",
      `name: found ${JSON.stringify(name)}, expected letters, digits, "_", "." and "-", at least two, the first a letter or digit`,
    );
  const [image, root] = await Promise.all([
    typeof options.image === "string"
      ? client.images.ensure(options.image, { ...call, ...present({ pull: options.pull }) })
      : options.image,
    logRoot(client),
    checkNameFree(client, name, call),
  ]);
  const id = newId();
  const labels = {
    // An image's labels are kept, except those that would instruct the daemon.
    ...userLabels(image.config.config?.Labels ?? {}),
    ...options.labels,
    ...daemonLabels(options, image),
    [LABEL.name]: name,
    [LABEL.logPath]: logPathFor(root, client.namespace, id),
  };
  try {
    const mounts = await prepareSnapshot(client, image, id, call);
    // User names are resolved by the image's files.
    const layers = layersOf(mounts);
    const user = resolveUser(
      options.user ?? image.config.config?.User ?? "",
      readRootfsFile(layers, "etc/passwd"),
      readRootfsFile(layers, "etc/group"),
    );
    const spec = containerSpec(image.config, { ...specOptions(client, options, id), user });
    for (const { createSource, mount } of options.mounts ?? []) if (createSource) makeSource(mount.source!);
    return await client.containers.insert(
      {
        id,
        image: image.image.name,
        labels,
        spec,
        snapshotter: client.snapshotter,
        snapshotKey: id,
        ...present({ runtime: options.runtime }),
      },
      call,
    );
  } catch (error) {
    // It may have been created although the response was lost.
    await ignoreMissing(client.containers.raw.delete({ id })).catch(() => {});
    await ignoreMissing(client.snapshots.remove(id)).catch(() => {});
    throw error;
  }
}

async function checkNameFree(client: ContainerHost, name: string, call: CallOptions): Promise<void> {
  const holder = await client.containers.named(name, call);
  if (holder)
    throw new BerthError(
      "already_exists",
      `name "${name}" is already taken by container ${holder.id.slice(0, 12)}`,
      { hint: `Remove that one (berth rm ${name}) or choose another --name.` },
    );
}

/** Labels without those that are instructions to the daemon. */
export function userLabels(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(labels).filter(([key]) => !key.startsWith("berth/") && !key.startsWith("containerd.io/")),
  );
}

/** The labels that instruct the daemon. */
function daemonLabels(options: CreateContainer, image: ResolvedImage): Record<string, string> {
  const restart =
    typeof options.restart === "string" ? parseRestartPolicy("restart", options.restart) : options.restart;
  return present({
    [LABEL.autoRemove]: options.autoRemove,
    [LABEL.stopSignal]: options.stopSignal ?? (image.config.config?.StopSignal || undefined),
    [LABEL.stopTimeout]: options.stopTimeout === undefined ? undefined : String(options.stopTimeout),
    [LABEL.restartPolicy]:
      restart === undefined || restart.name === "no" ? undefined : restartPolicyText(restart),
    [LABEL.openStdin]: options.openStdin ? "true" : undefined,
    [LABEL.shim]: options.runtime === undefined ? undefined : "external",
  }) as Record<string, string>;
}

/** How long the collector spares the snapshot of a container that does not exist yet, in milliseconds. */
const HOLD_MS = 60_000;
/** Attempts to prepare a snapshot: its parent may be missing at first, and be collected before it has a child. */
const PREPARE_TRIES = 3;

async function prepareSnapshot(
  client: ContainerHost,
  image: ResolvedImage,
  id: string,
  call: CallOptions,
): Promise<SnapshotMount[]> {
  for (let left = PREPARE_TRIES; ; left--) {
    try {
      const until = new Date(Date.now() + HOLD_MS).toISOString();
      return await client.snapshots.prepare(id, image.chainId, { [LABEL.heldUntil]: until }, call);
    } catch (error) {
      if (left === 1 || !isCode(error, "not_found") || image.chainId === "") throw error;
      // The image was stored but never unpacked (for instance imported with --no-unpack), or collected in between.
      await client.images.unpack(image.image.name, call);
    }
  }
}

/** Options of the spec, with the facts of this machine. */
function specOptions(client: ContainerHost, options: CreateContainer, id: string): ContainerOptions {
  const { image: _, user: __, mounts = [], seccomp, ...rest } = options;
  const available = availableCapabilities();
  const spec: ContainerOptions = {
    ...rest,
    id,
    namespace: client.namespace,
    mounts: mounts.map(({ mount }) => mount),
    ...present({
      availableCapabilities: available,
      hostDevices: options.privileged ? hostDevices() : undefined,
      hostname: options.hostname ?? (options.network === "host" ? hostName() : undefined),
    }),
  };
  const filter = seccomp ?? defaultSeccomp(spec);
  return filter === undefined || filter === "unconfined" ? spec : { ...spec, seccomp: filter };
}

function hostName(): string {
  return readFileSync("/proc/sys/kernel/hostname", "utf8").trim();
}

function defaultSeccomp(options: ContainerOptions): Seccomp | undefined {
  const machine = machineOfNodeArch(process.arch);
  if (machine === undefined || options.privileged) return undefined;
  const capabilities = chooseCapabilities({
    add: options.capAdd ?? [],
    drop: options.capDrop ?? [],
    ...present({ available: options.availableCapabilities }),
  });
  return dockerSeccomp({ machine, capabilities, ...present({ kernel: kernelVersion() }) });
}

function makeSource(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (cause) {
    // A file is as good a source as a directory.
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw BerthError.from(cause, "volume");
  }
}
