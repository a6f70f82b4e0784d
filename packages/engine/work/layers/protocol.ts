/** What the main thread and the layer workers say to each other. */
import type { ApplyTarget } from "./apply.ts";

/** Asks a worker to apply a layer, which it reads from a file that may still grow. */
export interface ApplyJob {
  readonly kind: "apply";
  readonly id: number;
  /** The file with the (compressed) layer. */
  readonly file: string;
  /** What errors call it. */
  readonly name: string;
  readonly target: ApplyTarget;
}

/** Tells how far the file may be read; `final` when that is its end. */
export interface Progress {
  readonly kind: "progress";
  readonly id: number;
  readonly available: number;
  readonly final: boolean;
}

/** Asks the worker to give a job up. */
export interface Cancel {
  readonly kind: "cancel";
  readonly id: number;
  readonly reason: string;
}

export type ToWorker = ApplyJob | Progress | Cancel;

/** What applying gave. */
export interface Applied {
  /** Digest and size of the uncompressed layer. */
  readonly diffId: string;
  readonly size: number;
  readonly entries: number;
  /** Whether the layer says how the root folder itself looks. */
  readonly hasRoot: boolean;
}

/** An error, as it can be posted. */
export interface PostedError {
  readonly code: string;
  readonly message: string;
  readonly facts: Readonly<Record<string, string>>;
}

export type FromWorker =
  | { readonly kind: "done"; readonly id: number; readonly result: Applied }
  | { readonly kind: "failed"; readonly id: number; readonly error: PostedError };
