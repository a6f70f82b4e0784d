/** Transfers of images: between a registry, an archive and the daemon's store, with progress. */

import { unpack } from "@berth/api/any";
import * as api from "@berth/api/transfer";
import * as types from "@berth/api/transferTypes";
import type { Connection } from "@berth/grpc/client";
import type { CallOptions } from "@berth/rpc";
import type { Any } from "@bufbuild/protobuf/wkt";
import { openStream, streamId } from "./streams.ts";

/** One step of a transfer. */
export interface Progress {
  /** The kind of step: "resolving", "fetching", "downloading", "complete", "extracting", "saved", ... */
  event: string;
  /** The blob or image it is about. */
  name: string;
  /** Bytes done and in total; 0 if unknown. */
  progress: number;
  total: number;
  /** Digest of the blob, if there is one. */
  digest: string | undefined;
}

/** Called for each step, in order. */
export type OnProgress = (step: Progress) => void;

/**
 * Requests a transfer from the daemon and waits for its end. Progress goes to `onProgress`; an error thrown by the
 * callback aborts the transfer.
 */
export async function transfer(
  connection: Connection,
  source: Any,
  destination: Any,
  options: CallOptions & { onProgress?: OnProgress | undefined } = {},
): Promise<void> {
  const { onProgress, ...call } = options;
  const service = connection.client(api.Transfer);
  if (!onProgress) {
    await service.transfer({ source, destination }, call);
    return;
  }
  const id = streamId("progress");
  const stream = await openStream(connection, id);
  const reading = (async () => {
    for (;;) {
      const message = await stream.received.next();
      if (message.done) return;
      const step = unpack(types.ProgressSchema, message.value);
      if (step)
        onProgress({
          event: step.event,
          name: step.name,
          progress: Number(step.progress),
          total: Number(step.total),
          digest: step.desc?.digest,
        });
    }
  })();
  // A broken progress stream does not fail a transfer.
  reading.catch(() => {});
  try {
    await service.transfer({ source, destination, options: { progressStream: id } }, call);
    stream.end();
    await Promise.race([reading.catch(() => {}), new Promise((resolve) => setTimeout(resolve, 500).unref())]);
  } finally {
    stream.cancel();
  }
}
