/** What transfers work with. */
import type { Config } from "../config/config.ts";
import type { ContentStore } from "../content/local.ts";
import type { Scope } from "../core/scope.ts";
import type { Collector } from "../gc/collector.ts";
import type { ImageStore } from "../images/local.ts";
import type { LayerPool } from "../layers/pool.ts";
import type { Fetcher } from "../registry/fetch.ts";
import type { SnapshotStore } from "../snapshots/local.ts";
import type { Database } from "../store/database.ts";
import type { StreamManager } from "../streaming/local.ts";
import type { Progress } from "./progress.ts";

/** The stores and tools of all transfers. */
export interface TransferParts {
  config: Config;
  db: Database;
  content: ContentStore;
  images: ImageStore;
  snapshots: SnapshotStore;
  pool: LayerPool;
  streams: StreamManager;
  collector: Collector;
  fetcher: Fetcher;
}

/** One transfer: for whom, with what, told to whom. */
export interface TransferJob {
  parts: TransferParts;
  scope: Scope;
  progress: Progress;
  signal: AbortSignal;
}
