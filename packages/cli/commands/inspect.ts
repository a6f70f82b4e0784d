/** berth inspect: everything about containers and images, as JSON. */
import { isCode } from "@berth/base";
import {
  type BerthClient,
  type Container,
  type Image,
  LABEL,
  parseRestartPolicy,
  userLabels,
} from "@berth/client";
import { command } from "../command.ts";
import { restartsOf } from "../container/labels.ts";
import { isUp, seenOf, startedAt } from "../container/state.ts";
import { EXIT, printError } from "../errors.ts";
import { text, usageError } from "../flags.ts";
import { parseTemplate } from "../format/template.ts";
import { findImage } from "../image/ensure.ts";

export default command({
  usage: "NAME [NAME...]",
  summary: "Show everything about containers or images",
  flags: {
    format: text("TEMPLATE", 'A Go template ("{{.State.Pid}}")', "f"),
    type: text("container|image", "Look for these only"),
  },
  args: [1, Number.POSITIVE_INFINITY],
  async run(context, flags, names) {
    if (flags.type !== undefined && flags.type !== "container" && flags.type !== "image")
      throw usageError(`--type: found "${flags.type}", expected container or image`);
    const template =
      flags.format === undefined || flags.format === "json" ? undefined : parseTemplate(flags.format);
    const client = await context.client();
    const found: unknown[] = [];
    let code = 0;
    for (const name of names)
      try {
        found.push(await inspect(client, name, flags.type));
      } catch (error) {
        printError(error, context.debug, context.err);
        code = EXIT.failure;
      }
    const { stringifyJson } = await import("@berth/oci");
    if (template) for (const each of found) context.out(`${template(each)}\n`);
    else context.out(`${stringifyJson(found, "    ")}\n`);
    return code;
  },
});

async function inspect(client: BerthClient, name: string, type: string | undefined): Promise<object> {
  if (type !== "image")
    try {
      return await inspectContainer(await client.containers.find(name));
    } catch (error) {
      if (type === "container" || !isCode(error, "not_found")) throw error;
      try {
        return await inspectImage(client, await findImage(client, name));
      } catch (second) {
        throw isCode(second, "not_found") || isCode(second, "invalid_argument")
          ? notFound(error, name)
          : second;
      }
    }
  return inspectImage(client, await findImage(client, name));
}

function notFound(error: unknown, name: string): unknown {
  if (error instanceof Error) error.message = `no such container or image: ${name}`;
  return error;
}

async function inspectContainer(container: Container): Promise<object> {
  const seen = seenOf(container, await container.taskState());
  const state = seen.task;
  const stopped = seen.state === "exited" || seen.state === "restarting";
  const { labels } = container;
  const restart = parseRestartPolicy("label", labels[LABEL.restartPolicy] ?? "no");
  const spec = container.spec();
  const { process: run, linux } = spec;
  const resources = linux?.resources;
  return {
    Id: container.id,
    Name: container.name,
    Created: container.createdAt?.toISOString() ?? "",
    Image: container.image,
    Path: run?.args?.[0] ?? "",
    Args: run?.args?.slice(1) ?? [],
    State: {
      Status: seen.state,
      Running: isUp(seen.state),
      Paused: seen.state === "paused",
      Restarting: seen.state === "restarting",
      OOMKilled: labels[LABEL.oomCgroup] !== undefined,
      OOMCgroup: labels[LABEL.oomCgroup] ?? "",
      Pid: stopped ? 0 : (state?.pid ?? 0),
      ExitCode: state?.exitStatus ?? 0,
      StartedAt: stopped ? "" : (startedAt(state?.pid ?? 0)?.toISOString() ?? ""),
      FinishedAt: state?.exitedAt?.toISOString() ?? "",
    },
    RestartCount: restartsOf(labels),
    LogPath: container.labels[LABEL.logPath] ?? "",
    Runtime: container.runtime,
    Snapshotter: container.snapshotter,
    SnapshotKey: container.snapshotKey,
    Config: {
      Hostname: spec.hostname ?? "",
      User: `${run?.user.uid ?? 0}:${run?.user.gid ?? 0}`,
      Tty: run?.terminal ?? false,
      OpenStdin: container.labels[LABEL.openStdin] === "true",
      Env: run?.env ?? [],
      Cmd: run?.args ?? [],
      Image: container.image,
      WorkingDir: run?.cwd ?? "/",
      Labels: userLabels(container.labels),
      StopSignal: labels[LABEL.stopSignal] ?? "SIGTERM",
      ...(labels[LABEL.stopTimeout] === undefined ? {} : { StopTimeout: Number(labels[LABEL.stopTimeout]) }),
    },
    HostConfig: {
      RestartPolicy: { Name: restart.name, MaximumRetryCount: restart.max },
      AutoRemove: container.labels[LABEL.autoRemove] !== undefined,
      NetworkMode: linux?.namespaces?.some((n) => n.type === "network") ? "none" : "host",
      ReadonlyRootfs: spec.root?.readonly ?? false,
      Memory: Number(resources?.memory?.limit ?? 0),
      NanoCpus: nanoCpus(resources?.cpu),
      CpuQuota: Number(resources?.cpu?.quota ?? 0),
      CpuPeriod: Number(resources?.cpu?.period ?? 0),
      PidsLimit: Number(resources?.pids?.limit ?? 0),
      CapBounding: run?.capabilities?.bounding ?? [],
      CgroupsPath: linux?.cgroupsPath ?? "",
      MaskedPaths: linux?.maskedPaths ?? [],
      ReadonlyPaths: linux?.readonlyPaths ?? [],
    },
    Mounts: (spec.mounts ?? []).map((mount) => ({
      Type: mount.type ?? "bind",
      Source: mount.source ?? "",
      Destination: mount.destination,
      Options: mount.options ?? [],
    })),
    Spec: spec,
  };
}

async function inspectImage(client: BerthClient, image: Image): Promise<object> {
  const { manifest, manifestDigest, config, configDigest, chainId } = await client.images.resolve(image);
  return {
    Id: image.target.digest,
    RepoTags: [image.name],
    Created: config.created ?? "",
    Architecture: config.architecture,
    Os: config.os,
    Size: manifest.layers.reduce((sum, layer) => sum + layer.size, manifest.config.size),
    Labels: image.labels,
    Config: config.config ?? {},
    RootFS: { Type: "layers", Layers: config.rootfs.diff_ids },
    Manifest: { Digest: manifestDigest, ...manifest },
    ConfigDigest: configDigest,
    ChainId: chainId,
  };
}

/** docker's NanoCpus, for --cpus: processors times 10^9; 0 without a limit. */
function nanoCpus(cpu: { quota?: number | bigint; period?: number | bigint } | undefined): number {
  const quota = Number(cpu?.quota ?? 0);
  const period = Number(cpu?.period ?? 100_000);
  return quota > 0 && period > 0 ? Math.round((quota / period) * 1e9) : 0;
}
