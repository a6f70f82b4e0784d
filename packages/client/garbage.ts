/** What keeps objects, and what nothing keeps: berth's own service, which other daemons do not have. */
import * as api from "@berth/api/garbage";
import type { Connection } from "@berth/grpc/client";
import type { CallOptions } from "@berth/rpc";

/** An object of the namespace. */
export interface ObjectName {
  kind: "container" | "sandbox" | "image" | "lease" | "content" | "snapshot" | "ingest" | "mount";
  name: string;
  /** Of a snapshot; "" for the others. */
  snapshotter: string;
}

/** Why an object is kept. */
export interface Explanation {
  object: ObjectName;
  /** From what is kept for itself to the object; empty if nothing keeps it. */
  chain: ObjectName[];
}

/** Bytes of blobs, of snapshots' own files, and of containers' logs. */
export interface Amount {
  content: number;
  snapshots: number;
  logs: number;
}

/** Who owns how much of the disk. */
export interface DiskUsage {
  /** Images, containers, sandboxes and leases: what goes when they go, and what others own, too. */
  owners: { object: ObjectName; own: Amount; shared: Amount }[];
  /** What nobody owns. */
  unowned: Amount;
  /** Everything, each thing once. */
  total: Amount;
}

const amountOf = (amount: api.Amount | undefined): Amount => ({
  content: Number(amount?.content ?? 0),
  snapshots: Number(amount?.snapshots ?? 0),
  logs: Number(amount?.logs ?? 0),
});

const named = (object: api.ObjectName | undefined) => object as unknown as ObjectName;

/** The Garbage service. */
export class Garbage {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Why the objects that `target` names are kept: a digest (also its first eight digits or more), or the name of a
   * snapshot, an image, an ingest or an activation of mounts. "not_found" if there is none.
   */
  async explain(target: string, options?: CallOptions): Promise<Explanation[]> {
    const { explanations } = await this.#connection.client(api.Garbage).explain({ target }, options);
    return explanations.map(({ object, chain }) => ({ object: named(object), chain: chain.map(named) }));
  }

  /** Who owns how much of the disk. */
  async usage(options?: CallOptions): Promise<DiskUsage> {
    const { owners, unowned, total } = await this.#connection.client(api.Garbage).usage({}, options);
    return {
      owners: owners.map(({ object, own, shared }) => ({
        object: named(object),
        own: amountOf(own),
        shared: amountOf(shared),
      })),
      unowned: amountOf(unowned),
      total: amountOf(total),
    };
  }

  /** Collects garbage now; returns what is removed from the namespace. With `dryRun` nothing is removed. */
  async collect(options: CallOptions & { dryRun?: boolean } = {}): Promise<ObjectName[]> {
    const { dryRun = false, ...call } = options;
    const { objects } = await this.#connection.client(api.Garbage).collect({ dryRun }, call);
    return objects.map(named);
  }
}
