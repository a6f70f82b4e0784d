/**
 * A client of berthd, or of containerd itself: the counterpart of containerd's Go client.
 *
 * ```ts
 * await using client = connect({ namespace: "default" });
 * const image = await client.images.pull("docker.io/library/alpine:latest");
 * ```
 */
import { NAMESPACE_HEADER } from "@berth/api/headers";
import { present } from "@berth/base";
import { type Connection, connect as dial } from "@berth/grpc/client";
import type { CallOptions } from "@berth/rpc";
import { DEFAULT_ADDRESS, socketPath } from "./address.ts";
import { Containers } from "./containers/containers.ts";
import type { ContainerHost } from "./containers/host.ts";
import { Content } from "./content.ts";
import { Events } from "./events.ts";
import { Garbage } from "./garbage.ts";
import { Images } from "./images.ts";
import { Leases } from "./leases.ts";
import { Namespaces } from "./namespaces.ts";
import { Snapshots } from "./snapshots.ts";
import { Tasks } from "./tasks.ts";

/** How to connect. */
export interface ClientOptions {
  /** "unix:///path" or a path. Default: {@link DEFAULT_ADDRESS}. */
  address?: string;
  /** Default: "default". */
  namespace?: string;
  /** Default: "overlayfs". */
  snapshotter?: string;
  /**
   * The daemon's root directory, for paths of logs. Default: asks the daemon, unless it is at the default address.
   */
  root?: string;
  /** How long the first call waits for a daemon that is just starting, in milliseconds. Default: 0. */
  dialTimeoutMs?: number;
}

/** A connection with a namespace. Sockets are opened by the first call. */
export class BerthClient implements ContainerHost, AsyncDisposable {
  readonly connection: Connection;
  readonly namespace: string;
  readonly address: string;
  readonly snapshotter: string;
  readonly root: string | undefined;
  readonly images: Images;
  readonly containers: Containers;
  readonly tasks: Tasks;
  readonly content: Content;
  readonly snapshots: Snapshots;
  readonly leases: Leases;
  readonly namespaces: Namespaces;
  readonly events: Events;
  readonly garbage: Garbage;

  constructor(options: ClientOptions = {}) {
    this.namespace = options.namespace ?? "default";
    this.address = options.address ?? DEFAULT_ADDRESS;
    this.snapshotter = options.snapshotter ?? "overlayfs";
    this.root = options.root;
    this.connection = dial({
      path: socketPath(this.address),
      headers: { [NAMESPACE_HEADER]: this.namespace },
      ...present({ dialTimeoutMs: options.dialTimeoutMs }),
    });
    this.images = new Images(this.connection, this.snapshotter);
    this.containers = new Containers(this);
    this.tasks = new Tasks(this.connection);
    this.content = new Content(this.connection);
    this.snapshots = new Snapshots(this.connection, this.snapshotter);
    this.leases = new Leases(this.connection);
    this.namespaces = new Namespaces(this.connection);
    this.events = new Events(this.connection);
    this.garbage = new Garbage(this.connection);
  }

  /** The daemon's version. */
  async version(options?: CallOptions): Promise<{ version: string; revision: string }> {
    const { Version } = await import("@berth/api/version");
    const { version, revision } = await this.connection.client(Version).version({}, options);
    return { version, revision };
  }

  /** The daemon's identity. */
  async server(options?: CallOptions): Promise<{ uuid: string; pid: number }> {
    const { Introspection } = await import("@berth/api/introspection");
    const { uuid, pid } = await this.connection.client(Introspection).server({}, options);
    return { uuid, pid: Number(pid) };
  }

  /** The daemon's plugins, by type and id. */
  async plugins(
    options?: CallOptions,
  ): Promise<{ type: string; id: string; exports: Record<string, string> }[]> {
    const { Introspection } = await import("@berth/api/introspection");
    const { plugins } = await this.connection.client(Introspection).plugins({ filters: [] }, options);
    return plugins.map(({ type, id, exports }) => ({ type, id, exports }));
  }

  /** Closes the connection; calls in flight fail with "canceled". */
  close(): void {
    this.connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

/** Creates a client; makes no call yet. */
export function connect(options: ClientOptions = {}): BerthClient {
  return new BerthClient(options);
}
