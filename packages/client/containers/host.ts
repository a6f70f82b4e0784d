/** What making and running containers takes of a client. */
import type { Connection } from "@berth/grpc/client";
import type { Images } from "../images.ts";
import type { Snapshots } from "../snapshots.ts";
import type { Containers } from "./containers.ts";

/** See the module comment; `BerthClient` is one. */
export interface ContainerHost {
  readonly connection: Connection;
  readonly namespace: string;
  readonly address: string;
  readonly snapshotter: string;
  /** The daemon's root directory; undefined when it has to be asked. */
  readonly root: string | undefined;
  readonly containers: Containers;
  readonly images: Images;
  readonly snapshots: Snapshots;
  plugins(): Promise<{ type: string; exports: Record<string, string> }[]>;
}
