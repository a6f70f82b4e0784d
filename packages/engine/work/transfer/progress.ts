/** Progress of a transfer, sent over a stream that the client has opened for it. */
import { pack, transferTypes } from "@berth/api";
import type { Descriptor } from "@berth/oci";
import { toDescriptor } from "../../base/core/wire.ts";
import type { NamedStream } from "./stream-manager.ts";

/** Minimum interval of byte counts, per item. */
const INTERVAL_MS = 100;

/** Sends progress, or does nothing without a stream. */
export class Progress {
  readonly #stream: NamedStream | undefined;
  readonly #lastSent = new Map<string, number>();

  constructor(stream: NamedStream | undefined) {
    this.#stream = stream;
  }

  /** Sends a step; `desc` is its blob. */
  step(
    event: string,
    name: string,
    more: { desc?: Descriptor; parents?: string[]; progress?: number } = {},
  ): void {
    if (this.#stream === undefined) return;
    const { desc, parents = [], progress = 0 } = more;
    this.#stream.send(
      pack(transferTypes.ProgressSchema, {
        event,
        name,
        parents,
        progress: BigInt(progress),
        total: BigInt(desc?.size ?? 0),
        ...(desc === undefined ? {} : { desc: toDescriptor(desc) }),
      }),
    );
  }

  /** Sends a byte count; dropped if the last one was sent a moment ago. */
  bytes(event: string, name: string, desc: Descriptor, progress: number): void {
    if (this.#stream === undefined) return;
    const now = performance.now();
    if (now - (this.#lastSent.get(name) ?? Number.NEGATIVE_INFINITY) < INTERVAL_MS) return;
    this.#lastSent.set(name, now);
    this.step(event, name, { desc, progress });
  }

  /** Ends the stream. */
  close(): void {
    this.#stream?.close();
  }
}
