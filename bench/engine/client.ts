/** A daemon, used through the calls that containerd's Go client makes. */
import { spawnSync } from "node:child_process";
import { containers, snapshots, tasks, taskTypes, version } from "@berth/api";
import { connect } from "@berth/grpc";
import { defaultSpec, type Spec } from "@berth/oci";
import type { Daemon } from "./daemons.ts";

export const IMAGE = "docker.io/berth/demo:latest";
const SPEC_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
const PROCESS_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Process";
/** `google.protobuf.Any` of a JSON value. */
const json = (typeUrl: string, value: unknown) => ({
  typeUrl,
  value: new TextEncoder().encode(JSON.stringify(value)),
});

/** Options of a container. */
export interface ContainerOptions {
  args: string[];
  stdout?: string;
  mounts?: Spec["mounts"];
}

/** A client of a daemon; a restarted daemon needs a new one. */
export class Engine {
  readonly daemon: Daemon;
  /** The parent of containers' cgroups. */
  readonly parent: string;
  readonly #connection;
  readonly #snapshots;
  readonly #containers;
  readonly #tasks;
  #image = "";

  constructor(daemon: Daemon) {
    this.daemon = daemon;
    this.parent = daemon.program.namespace;
    this.#connection = connect({
      path: daemon.program.socket,
      headers: { "containerd-namespace": daemon.program.namespace },
    });
    this.#snapshots = this.#connection.client(snapshots.Snapshots);
    this.#containers = this.#connection.client(containers.Containers);
    this.#tasks = this.#connection.client(tasks.Tasks);
  }

  get name(): string {
    return this.daemon.program.name;
  }

  /** Loads the image and finds its snapshot; without an archive, uses the existing one. */
  async prepare(archive?: string): Promise<void> {
    if (archive !== undefined) {
      const { ctr, socket, namespace } = this.daemon.program;
      const imported = spawnSync(ctr, ["-a", socket, "-n", namespace, "images", "import", archive], {
        encoding: "utf8",
      });
      if (imported.status !== 0) throw new Error(`${this.name}: ${imported.stderr}`);
    }
    for await (const { info } of this.#snapshots.list({ snapshotter: "overlayfs" }))
      for (const i of info) if (i.kind === snapshots.Kind.COMMITTED) this.#image = i.name;
  }

  /** The cheapest call. */
  async version(): Promise<void> {
    await this.#connection.client(version.Version).version({});
  }

  /** Creates the container and its snapshot, without a task. */
  async record(id: string, options: ContainerOptions): Promise<void> {
    const spec = defaultSpec();
    spec.process!.terminal = false;
    spec.process!.args = options.args;
    spec.mounts = [...(spec.mounts ?? []), ...(options.mounts ?? [])];
    spec.linux!.cgroupsPath = `/${this.parent}/${id}`;
    // A gc root: until the container's record exists, containerd's collector could remove it.
    const labels = { "containerd.io/gc.root": "bench" };
    await this.#snapshots.prepare({ snapshotter: "overlayfs", key: id, parent: this.#image, labels });
    await this.#containers.create({
      container: {
        ...{ id, image: IMAGE, snapshotter: "overlayfs", snapshotKey: id },
        runtime: { name: "io.containerd.runc.v2" },
        spec: json(SPEC_TYPE, spec),
      },
    });
  }

  /** Creates a container and starts it. */
  async create(id: string, options: ContainerOptions): Promise<void> {
    await this.record(id, options);
    const { mounts } = await this.#snapshots.mounts({ snapshotter: "overlayfs", key: id });
    const { stdout = "" } = options;
    await this.#tasks.create({ containerId: id, rootfs: mounts, stdout, stderr: stdout });
    await this.#tasks.start({ containerId: id });
  }

  /** Waits for a container to exit; returns its exit code. */
  async wait(id: string): Promise<number> {
    return (await this.#tasks.wait({ containerId: id })).exitStatus;
  }

  async remove(id: string): Promise<void> {
    await this.#tasks.delete({ containerId: id });
    await this.forget(id);
  }

  /** Removes a container that has no task. */
  async forget(id: string): Promise<void> {
    await this.#containers.delete({ id });
    await this.#snapshots.remove({ snapshotter: "overlayfs", key: id });
  }

  /** A container's whole lifecycle; returns milliseconds. */
  async life(id: string): Promise<number> {
    const begin = performance.now();
    await this.create(id, { args: ["true"] });
    await this.wait(id);
    await this.remove(id);
    return performance.now() - begin;
  }

  async kill(id: string): Promise<void> {
    await this.#tasks.kill({ containerId: id, signal: 9 });
    await this.wait(id);
    await this.remove(id);
  }

  /** An exec'd process, from exec to the removal of its record; returns milliseconds. */
  async exec(id: string, execId: string): Promise<number> {
    const process = { ...defaultSpec().process, terminal: false, args: ["true"] };
    const begin = performance.now();
    await this.#tasks.exec({ containerId: id, execId, spec: json(PROCESS_TYPE, process) });
    await this.#tasks.start({ containerId: id, execId });
    await this.#tasks.wait({ containerId: id, execId });
    await this.#tasks.deleteProcess({ containerId: id, execId });
    return performance.now() - begin;
  }

  /** Number of running tasks. */
  async running(): Promise<number> {
    const { tasks: found } = await this.#tasks.list({});
    return found.filter((task) => task.status === taskTypes.Status.RUNNING).length;
  }

  /** Kills and removes containers that still run, if any; the connection may be gone with its daemon. */
  async clear(): Promise<boolean> {
    const fresh = new Engine(this.daemon);
    try {
      const { tasks: found } = await fresh.#tasks.list({});
      for (const { id } of found) {
        await fresh.#tasks.kill({ containerId: id, signal: 9 }).catch(() => undefined);
        await fresh.wait(id).catch(() => 0);
        await fresh.#tasks.delete({ containerId: id }).catch(() => undefined);
      }
      return found.length > 0;
    } catch {
      return false;
    } finally {
      fresh.close();
    }
  }

  /** Lists all containers; returns their number. */
  async list(): Promise<number> {
    return (await this.#containers.list({})).containers.length;
  }

  close(): void {
    this.#connection.close();
  }
}

/** Runs `work` for every one of `count` numbers, at most `atATime` concurrently. */
export async function many(
  count: number,
  atATime: number,
  once: (n: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await once(next++);
  };
  await Promise.all(Array.from({ length: Math.min(atATime, count) }, worker));
}
