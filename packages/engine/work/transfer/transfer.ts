/** Dispatches transfers by source and destination, under a lease that ends with the transfer. */

import { randomBytes } from "node:crypto";
import { CONTAINERD_LABEL, transferTypes, typeNameOf, unpack } from "@berth/api";
import { BerthError, isCode, stage } from "@berth/base";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Scope } from "../../base/core/scope.ts";
import { now, rfc3339 } from "../../base/core/time.ts";
import { createLease } from "../../objects/leases/rows.ts";
import { receiveBytes, sendBytes } from "./bytes.ts";
import { exportArchive } from "./export.ts";
import { importArchive } from "./import.ts";
import type { TransferJob, TransferParts } from "./parts.ts";
import { Progress } from "./progress.ts";
import { pull } from "./pull.ts";
import { push } from "./push.ts";
import { LEASE_PREFIX } from "./recover.ts";
import { tag } from "./tag.ts";

/** A crashed daemon's lease expires after this many nanoseconds. */
const LEASE_NS = 24n * 3600n * 1_000_000_000n;

/** A requested transfer. */
export interface TransferRequest {
  source: Any | undefined;
  destination: Any | undefined;
  progressStream: string;
}

/** Carries out a transfer. */
export async function transfer(
  parts: TransferParts,
  scope: Scope,
  request: TransferRequest,
  signal: AbortSignal,
): Promise<void> {
  const { source, destination, progressStream } = request;
  const stream = progressStream === "" ? undefined : parts.streams.get(scope.namespace, progressStream);
  const progress = new Progress(stream);
  const from = read(source, "source");
  const to = read(destination, "destination");
  const lease = scope.lease ?? `${LEASE_PREFIX}${Date.now()}-${randomBytes(4).toString("hex")}`;
  if (scope.lease === undefined) {
    const labels = { [CONTAINERD_LABEL.gcExpire]: rfc3339(now() + LEASE_NS) };
    parts.db.transaction(() =>
      createLease(parts.db, scope.namespace, { id: lease, labels, created: String(now()) }),
    );
  }
  const job: TransferJob = { parts, scope: { ...scope, lease }, progress, signal };
  try {
    await run(job, from, to);
  } catch (error) {
    if (signal.aborted && !isCode(error, "canceled")) throw BerthError.from(signal.reason);
    throw error;
  } finally {
    progress.close();
    if (scope.lease === undefined) {
      parts.db.transaction(() =>
        parts.db.run("DELETE FROM leases WHERE ns = ? AND id = ?", scope.namespace, lease),
      );
      await parts.collector.request(false);
    }
  }
}

const KINDS = {
  store: transferTypes.ImageStoreSchema,
  registry: transferTypes.OCIRegistrySchema,
  import: transferTypes.ImageImportStreamSchema,
  export: transferTypes.ImageExportStreamSchema,
} as const;

type End = {
  [K in keyof typeof KINDS]: { kind: K; value: NonNullable<ReturnType<typeof unpack<(typeof KINDS)[K]>>> };
}[keyof typeof KINDS];

function read(any: Any | undefined, which: string): End {
  for (const kind of Object.keys(KINDS) as (keyof typeof KINDS)[]) {
    const value = unpack(KINDS[kind] as typeof transferTypes.ImageStoreSchema, any);
    if (value !== undefined) return { kind, value } as unknown as End;
  }
  const found = any === undefined ? "nothing" : typeNameOf(any);
  throw new BerthError("unimplemented", `transfer ${which} ${found} is not supported: not implemented`);
}

function run(job: TransferJob, from: End, to: End): Promise<void> {
  const facts = (image: string) => ({ namespace: job.scope.namespace, image });
  if (from.kind === "registry" && to.kind === "store")
    return stage("pull", facts(from.value.reference), () => pull(job, from.value, to.value));
  if (from.kind === "store" && to.kind === "registry")
    return stage("push", facts(from.value.name), () => push(job, from.value, to.value));
  if (from.kind === "import" && to.kind === "store")
    return stage("load", facts(to.value.name), () => importArchive(job, from.value, to.value));
  if (from.kind === "store" && to.kind === "export")
    return stage("save", facts(from.value.name), () => exportArchive(job, from.value, to.value));
  if (from.kind === "import" && to.kind === "export") return echo(job, from.value, to.value);
  if (from.kind === "store" && to.kind === "store")
    return stage("tag", facts(from.value.name), () => tag(job, from.value, to.value));
  throw new BerthError(
    "unimplemented",
    `transfer from ${from.kind} to ${to.kind} is not supported: not implemented`,
  );
}

/** Sends an archive back as it came, unread: containerd's clients try their streams with it. */
async function echo(
  { parts, scope }: TransferJob,
  source: transferTypes.ImageImportStream,
  destination: transferTypes.ImageExportStream,
): Promise<void> {
  const [incoming, outgoing] = [source, destination].map(({ stream }) =>
    parts.streams.get(scope.namespace, stream),
  );
  await sendBytes(outgoing!, receiveBytes(incoming!));
  outgoing!.close();
}
