/** A daemon, spoken to by the calls that containerd's Go client makes. */
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

/** What a container differs by. */
export interface Wish {
  args: string[];
  stdout?: string;
  mounts?: Spec["mounts"];
}

/** See the module comment. A daemon that is started again needs a new one. */
export class Engine {
  readonly daemon: Daemon;
  /** The group that containers' cgroups are in. */
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

  /** Loads the image and finds its snapshot; without an archive, finds the one that is there. */
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

  /** The cheapest question. */
  async version(): Promise<void> {
    await this.#connection.client(version.Version).version({});
  }

  /** Makes the container and its snapshot, without a task. */
  async record(id: string, wish: Wish): Promise<void> {
    const spec = defaultSpec();
    spec.process!.terminal = false;
    spec.process!.args = wish.args;
    spec.mounts = [...(spec.mounts ?? []), ...(wish.mounts ?? [])];
    spec.linux!.cgroupsPath = `/${this.parent}/${id}`;
    // A root of its own: between this and the container's record, containerd's collector may come by.
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

  /** Makes a container and starts it. */
  async create(id: string, wish: Wish): Promise<void> {
    await this.record(id, wish);
    const { mounts } = await this.#snapshots.mounts({ snapshotter: "overlayfs", key: id });
    const { stdout = "" } = wish;
    await this.#tasks.create({ containerId: id, rootfs: mounts, stdout, stderr: stdout });
    await this.#tasks.start({ containerId: id });
  }

  /** Waits for a container's end; its exit code. */
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

  /** A container's whole life; milliseconds. */
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

  /** A process added to a container, from exec to its record's removal; milliseconds. */
  async exec(id: string, execId: string): Promise<number> {
    const process = { ...defaultSpec().process, terminal: false, args: ["true"] };
    const begin = performance.now();
    await this.#tasks.exec({ containerId: id, execId, spec: json(PROCESS_TYPE, process) });
    await this.#tasks.start({ containerId: id, execId });
    await this.#tasks.wait({ containerId: id, execId });
    await this.#tasks.deleteProcess({ containerId: id, execId });
    return performance.now() - begin;
  }

  /** How many tasks run. */
  async running(): Promise<number> {
    const { tasks: found } = await this.#tasks.list({});
    return found.filter((task) => task.status === taskTypes.Status.RUNNING).length;
  }

  /** Kills and removes what still runs, if anything does; the connection may be gone with its daemon. */
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

  /** Lists all containers; their number. */
  async list(): Promise<number> {
    return (await this.#containers.list({})).containers.length;
  }

  close(): void {
    this.#connection.close();
  }
}

/** Does something for every one of `count` numbers, at most `atATime` at once. */
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
