/** Snapshots: the layers of root file systems. */
import * as api from "@berth/api/snapshots";
import type * as types from "@berth/api/types";
import type { Connection } from "@berth/grpc/client";
import type { CallOptions } from "@berth/rpc";

/** A mount, in the form mount(2) takes. */
export type SnapshotMount = Pick<types.Mount, "type" | "source" | "target" | "options">;

/** Metadata of a snapshot. */
export interface SnapshotInfo {
  name: string;
  parent: string;
  kind: "view" | "active" | "committed" | "unknown";
  labels: Record<string, string>;
}

/** The Snapshots service, for one snapshotter. */
export class Snapshots {
  readonly #connection: Connection;
  readonly snapshotter: string;

  constructor(connection: Connection, snapshotter: string) {
    this.#connection = connection;
    this.snapshotter = snapshotter;
  }

  /** The service's generated client. */
  get raw() {
    return this.#connection.client(api.Snapshots);
  }

  /** Creates a writable snapshot on top of `parent` ("" for none). "already_exists" if the key is taken. */
  async prepare(
    key: string,
    parent: string,
    labels: Record<string, string> = {},
    options?: CallOptions,
  ): Promise<SnapshotMount[]> {
    const { snapshotter } = this;
    return (await this.raw.prepare({ snapshotter, key, parent, labels }, options)).mounts;
  }

  /** Creates a read-only snapshot of `parent`. */
  async view(
    key: string,
    parent: string,
    labels: Record<string, string> = {},
    options?: CallOptions,
  ): Promise<SnapshotMount[]> {
    const { snapshotter } = this;
    return (await this.raw.view({ snapshotter, key, parent, labels }, options)).mounts;
  }

  /** The mounts of an active or view snapshot. */
  async mounts(key: string, options?: CallOptions): Promise<SnapshotMount[]> {
    return (await this.raw.mounts({ snapshotter: this.snapshotter, key }, options)).mounts;
  }

  /** Commits an active snapshot as `name`, so that it can be a parent. */
  async commit(name: string, key: string, labels: Record<string, string> = {}): Promise<void> {
    await this.raw.commit({ snapshotter: this.snapshotter, name, key, labels });
  }

  /** Metadata of a snapshot; "not_found" if it does not exist. */
  async stat(key: string, options?: CallOptions): Promise<SnapshotInfo> {
    const { info } = await this.raw.stat({ snapshotter: this.snapshotter, key }, options);
    return snapshotInfo(info!);
  }

  /** Bytes and inodes used by a snapshot itself, without its parents. */
  async usage(key: string, options?: CallOptions): Promise<{ size: number; inodes: number }> {
    const { size, inodes } = await this.raw.usage({ snapshotter: this.snapshotter, key }, options);
    return { size: Number(size), inodes: Number(inodes) };
  }

  /** All snapshots that match any of the filters. */
  async *list(filters: string[] = [], options?: CallOptions): AsyncGenerator<SnapshotInfo> {
    for await (const { info } of this.raw.list({ snapshotter: this.snapshotter, filters }, options))
      yield* info.map(snapshotInfo);
  }

  /** Removes a snapshot without children. */
  async remove(key: string, options?: CallOptions): Promise<void> {
    await this.raw.remove({ snapshotter: this.snapshotter, key }, options);
  }
}

const KINDS = ["unknown", "view", "active", "committed"] as const;

function snapshotInfo(info: api.Info): SnapshotInfo {
  return { name: info.name, parent: info.parent, kind: KINDS[info.kind] ?? "unknown", labels: info.labels };
}
