/** The containers of a namespace: finding and creating them. */
import { packJson, SPEC_TYPE } from "@berth/api/any";
import * as api from "@berth/api/containers";
import { LABEL } from "@berth/api/labels";
import { BerthError } from "@berth/base";
import { type Spec, stringifyJson } from "@berth/oci";
import type { CallOptions } from "@berth/rpc";
import { Container } from "./container.ts";
import type { CreateContainer } from "./create.ts";
import type { ContainerHost } from "./host.ts";
import type { RunContainer, RunResult } from "./run.ts";

/** Name of berth's runtime in container records. */
export const RUNTIME = "io.containerd.berth.v1";

/** A container record as written by a client. */
export interface NewRecord {
  id: string;
  spec: Spec;
  image?: string;
  labels?: Record<string, string>;
  snapshotter?: string;
  snapshotKey?: string;
  runtime?: string;
}

/** The Containers service, with a container's lifecycle on top. */
export class Containers {
  readonly #client: ContainerHost;

  constructor(client: ContainerHost) {
    this.#client = client;
  }

  get #connection() {
    return this.#client.connection;
  }

  /** The service's generated client. */
  get raw() {
    return this.#connection.client(api.Containers);
  }

  /** All containers that match any of the filters; all without filters. */
  async list(filters: string[] = [], options?: CallOptions): Promise<Container[]> {
    const { containers } = await this.raw.list({ filters }, options);
    return containers.map((record) => new Container(this.#connection, record));
  }

  /** The container with exactly that id; "not_found" if there is none. */
  async get(id: string, options?: CallOptions): Promise<Container> {
    return new Container(this.#connection, (await this.raw.get({ id }, options)).container!);
  }

  /**
   * Finds a container by its name, its id or a prefix of its id; "not_found" if there is none, "invalid_argument" if
   * the prefix is ambiguous.
   */
  async find(text: string, options?: CallOptions): Promise<Container> {
    const filters = [named(text)];
    if (/^[a-zA-Z0-9_.-]+$/.test(text))
      filters.push(`id~=${JSON.stringify(`^${text.replaceAll(".", "\\.")}`)}`);
    const found = await this.list(filters, options);
    const exact = found.find((c) => c.name === text) ?? found.find((c) => c.id === text);
    if (exact) return exact;
    if (found.length === 1) return found[0]!;
    if (found.length > 1)
      throw new BerthError("invalid_argument", `several containers have an id that begins with ${text}`, {
        hint: `Write more of it; they are ${found
          .slice(0, 4)
          .map((c) => c.id.slice(0, 16))
          .join(", ")}.`,
      });
    throw new BerthError("not_found", `no such container: ${text}`, {
      hint: "`berth ps -a` lists the containers of this namespace.",
    });
  }

  /** The container with exactly that name; undefined if there is none. */
  async named(name: string, options?: CallOptions): Promise<Container | undefined> {
    return (await this.list([named(name)], options))[0];
  }

  /**
   * Writes only a record, for clients that create spec and snapshot themselves; "already_exists" if the id is taken.
   */
  async insert(record: NewRecord, options?: CallOptions): Promise<Container> {
    const { container } = await this.raw.create(
      {
        container: {
          id: record.id,
          labels: record.labels ?? {},
          image: record.image ?? "",
          runtime: { name: record.runtime ?? RUNTIME },
          spec: packJson(SPEC_TYPE, stringifyJson(record.spec)),
          snapshotter: record.snapshotter ?? "",
          snapshotKey: record.snapshotKey ?? "",
        },
      },
      options,
    );
    return new Container(this.#connection, container!);
  }

  /**
   * Creates a container from an image, which is pulled if missing. It does not run yet: `container.start()`.
   *
   * @example
   * const container = await client.containers.create({ image: "nginx:alpine", name: "web" });
   */
  async create(options: CreateContainer, call: CallOptions = {}): Promise<Container> {
    const { createContainer } = await import("./create.ts");
    return createContainer(this.#client, options, call);
  }

  /**
   * Runs a command in a new container to its end, and removes the container; an abort of `call.signal` kills it.
   *
   * @example
   * const { code } = await client.containers.run({ image: "alpine", args: ["true"] });
   */
  async run(options: RunContainer, call: CallOptions = {}): Promise<RunResult> {
    const { runContainer } = await import("./run.ts");
    return runContainer(this.#client, options, call);
  }
}

/** A filter for a container's name. */
function named(name: string): string {
  return `labels.${JSON.stringify(LABEL.name)}==${JSON.stringify(name)}`;
}
