/** Dependencies of transfers. */

import type { Scope } from "../../base/core/scope.ts";
import type { Database } from "../../base/store/database.ts";
import type { ContentStore } from "../../objects/content/content-store.ts";
import type { Collector } from "../../objects/gc/collector.ts";
import type { ImageStore } from "../../objects/images/image-store.ts";
import type { SnapshotStore } from "../../objects/snapshots/snapshot-store.ts";
import type { LayerPool } from "../layers/pool.ts";
import type { StreamProcessors } from "../layers/processors.ts";
import type { Fetcher } from "../registry/fetch.ts";
import type { Progress } from "./progress.ts";
import type { StreamManager } from "./stream-manager.ts";
import type { Verifiers } from "./verify.ts";

/** The stores and tools of all transfers. */
export interface TransferParts {
  /** Concurrent layer downloads of one pull. */
  downloads: number;
  /** Registries accessed over plain HTTP, as host or host:port. */
  insecureRegistries: readonly string[];
  /** Folders with a folder for each registry: containerd's certs.d. */
  hostFolders: readonly string[];
  /** Programs that judge pulls. */
  verifiers: Verifiers;
  db: Database;
  content: ContentStore;
  images: ImageStore;
  snapshots: SnapshotStore;
  pool: LayerPool;
  processors: StreamProcessors;
  streams: StreamManager;
  collector: Collector;
  fetcher: Fetcher;
}

/** One transfer: its scope, dependencies and progress. */
export interface TransferJob {
  parts: TransferParts;
  scope: Scope;
  progress: Progress;
  signal: AbortSignal;
}
