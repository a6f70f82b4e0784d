/** The part of a client that creating and running containers needs. */
import type { Connection } from "@berth/grpc/client";
import type { Images } from "../images.ts";
import type { Snapshots } from "../snapshots.ts";
import type { Containers } from "./containers.ts";

/** Implemented by `BerthClient`. */
export interface ContainerHost {
  readonly connection: Connection;
  readonly namespace: string;
  readonly address: string;
  readonly snapshotter: string;
  /** The daemon's root directory; undefined until the daemon is asked. */
  readonly root: string | undefined;
  readonly containers: Containers;
  readonly images: Images;
  readonly snapshots: Snapshots;
  plugins(): Promise<{ type: string; exports: Record<string, string> }[]>;
}
