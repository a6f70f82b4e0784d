/** Blobs of the daemon's content store. */

import * as api from "@berth/api/content";
import { BerthError } from "@berth/base";
import type { Connection } from "@berth/grpc/client";
import type { CallOptions } from "@berth/rpc";

/** Metadata of a blob. */
export interface BlobInfo {
  digest: string;
  size: number;
  labels: Record<string, string>;
}

const MAX_JSON = 8 << 20;

/** The Content service. */
export class Content {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** The service's generated client. */
  get raw() {
    return this.#connection.client(api.Content);
  }

  /** Metadata of a blob; "not_found" if it does not exist. */
  async info(digest: string, options?: CallOptions): Promise<BlobInfo> {
    const { info } = await this.raw.info({ digest }, options);
    return blobInfo(info!);
  }

  /** All blobs that match any of the filters; all without filters. */
  async *list(filters: string[] = [], options?: CallOptions): AsyncGenerator<BlobInfo> {
    for await (const { info } of this.raw.list({ filters }, options)) yield* info.map(blobInfo);
  }

  /** A blob's bytes from `offset` on. */
  async *read(digest: string, options: CallOptions & { offset?: number } = {}): AsyncGenerator<Uint8Array> {
    const request = { digest, offset: BigInt(options.offset ?? 0) };
    for await (const { data } of this.raw.read(request, options)) yield data;
  }

  /** A whole small blob as JSON (a manifest, a config); at most 8 MiB. */
  async readJson<T>(digest: string, options?: CallOptions): Promise<T> {
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of this.read(digest, options)) {
      size += chunk.length;
      if (size > MAX_JSON)
        throw new BerthError(
          "invalid_argument",
          `blob ${digest} is larger than ${MAX_JSON} bytes, which no JSON document is`,
        );
      chunks.push(chunk);
    }
    try {
      return JSON.parse(Buffer.concat(chunks).toString("utf8")) as T;
    } catch (cause) {
      throw new BerthError("data_loss", `blob ${digest} is not valid JSON`, { cause });
    }
  }

  /** Deletes a blob; "not_found" if it does not exist. */
  async delete(digest: string, options?: CallOptions): Promise<void> {
    await this.raw.delete({ digest }, options);
  }
}

function blobInfo(info: api.Info): BlobInfo {
  return { digest: info.digest, size: Number(info.size), labels: info.labels };
}
