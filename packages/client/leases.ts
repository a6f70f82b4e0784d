/** Leases: objects created under one are safe from garbage collection until it is deleted or expires. */

import { randomBytes } from "node:crypto";
import { LEASE_HEADER } from "@berth/api/headers";
import { CONTAINERD_LABEL } from "@berth/api/labels";
import * as api from "@berth/api/leases";
import type { Connection } from "@berth/grpc/client";
import type { CallOptions } from "@berth/rpc";

/** A lease; `await using` deletes it at the end of the block. */
export interface Lease extends AsyncDisposable {
  id: string;
  labels: Record<string, string>;
  /** Headers that put a call under this lease. */
  headers: Record<string, string>;
}

/** The Leases service. */
export class Leases {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** The service's generated client. */
  get raw() {
    return this.#connection.client(api.Leases);
  }

  /**
   * Creates a lease. It expires after `seconds` (default: a day), so that a killed client leaks nothing permanently.
   */
  async create(
    options: CallOptions & { id?: string; seconds?: number; labels?: Record<string, string> } = {},
  ) {
    const { seconds = 86_400, labels = {}, ...call } = options;
    const id = options.id ?? `berth-${Date.now()}-${randomBytes(4).toString("hex")}`;
    const expire = new Date(Date.now() + seconds * 1000).toISOString();
    const all = { [CONTAINERD_LABEL.gcExpire]: expire, ...labels };
    const { lease } = await this.raw.create({ id, labels: all }, call);
    return this.#lease(lease!);
  }

  /** All leases of the namespace that match any of the filters. */
  async list(filters: string[] = [], options?: CallOptions): Promise<Lease[]> {
    const { leases } = await this.raw.list({ filters }, options);
    return leases.map((lease) => this.#lease(lease));
  }

  /** Deletes a lease; with `sync`, returns only after garbage collection. */
  async delete(id: string, options: CallOptions & { sync?: boolean } = {}): Promise<void> {
    await this.raw.delete({ id, sync: options.sync ?? false }, options);
  }

  #lease(lease: api.Lease): Lease {
    return {
      id: lease.id,
      labels: lease.labels,
      headers: { [LEASE_HEADER]: lease.id },
      [Symbol.asyncDispose]: () => this.delete(lease.id),
    };
  }
}
