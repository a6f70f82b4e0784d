/** Namespaces: separate sets of images, containers and all other objects. */
import * as api from "@berth/api/namespaces";
import type { Connection } from "@berth/grpc/client";
import type { CallOptions } from "@berth/rpc";

/** The Namespaces service. */
export class Namespaces {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** The service's generated client. */
  get raw() {
    return this.#connection.client(api.Namespaces);
  }

  /** Names and labels of all namespaces. */
  async list(options?: CallOptions): Promise<{ name: string; labels: Record<string, string> }[]> {
    return (await this.raw.list({}, options)).namespaces.map(({ name, labels }) => ({ name, labels }));
  }

  /** Creates a namespace; "already_exists" if the name is taken. */
  async create(name: string, labels: Record<string, string> = {}, options?: CallOptions): Promise<void> {
    await this.raw.create({ namespace: { name, labels } }, options);
  }

  /** Deletes an empty namespace. */
  async delete(name: string, options?: CallOptions): Promise<void> {
    await this.raw.delete({ name }, options);
  }
}
