/** Messages between the main thread and the layer workers. */
import type { ApplyTarget } from "./apply.ts";

/** Asks a worker to apply a layer, which it reads from a file that may still grow. */
export interface ApplyJob {
  readonly kind: "apply";
  readonly id: number;
  /** The file with the (compressed) layer. */
  readonly file: string;
  /** The layer's name in errors. */
  readonly name: string;
  readonly target: ApplyTarget;
}

/** How far the file may be read; `final` if that is its end. */
export interface Progress {
  readonly kind: "progress";
  readonly id: number;
  readonly available: number;
  readonly final: boolean;
}

/** Cancels a job. */
export interface Cancel {
  readonly kind: "cancel";
  readonly id: number;
  readonly reason: string;
}

export type ToWorker = ApplyJob | Progress | Cancel;

/** Result of a job. */
export interface Applied {
  /** Digest and size of the uncompressed layer. */
  readonly diffId: string;
  readonly size: number;
  readonly entries: number;
  /** Whether the layer has an entry for the root folder itself. */
  readonly hasRoot: boolean;
}

/** An error in postable form. */
export interface PostedError {
  readonly code: string;
  readonly message: string;
  readonly facts: Readonly<Record<string, string>>;
}

export type FromWorker =
  | { readonly kind: "done"; readonly id: number; readonly result: Applied }
  | { readonly kind: "failed"; readonly id: number; readonly error: PostedError };
