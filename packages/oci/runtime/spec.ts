/**
 * config.json of the OCI runtime specification 1.3, Linux part: the configuration in a bundle.
 *
 * Field names are those of the JSON. An absent field is absent (never null): {@link parseSpec} removes nulls, as Go
 * readers do. 64-bit integers are {@link Int64}.
 */
import type { Linux } from "./linux.ts";
import type { Mount } from "./mount.ts";
import type { Process } from "./process.ts";

/**
 * An integer that may need 64 bits: a number where it is exact, else a bigint. Read and write JSON with such values
 * with `parseJson` and `stringifyJson`, which keep every digit.
 */
export type Int64 = number | bigint;

/** A whole config.json. */
export interface Spec {
  /** Version of the runtime specification the document conforms to, for instance "1.2.0". */
  ociVersion: string;
  /** The container's process; required by `start`. */
  process?: Process;
  /** The container's root file system. */
  root?: Root;
  /** Requires a uts namespace. */
  hostname?: string;
  /** NIS domain name; requires a uts namespace. */
  domainname?: string;
  /** Mounts, in mounting order. */
  mounts?: Mount[];
  hooks?: Hooks;
  annotations?: Record<string, string>;
  linux?: Linux;
}

/** The root file system. */
export interface Root {
  /** Directory; relative to the bundle unless absolute. */
  path: string;
  readonly?: boolean;
}

/** A program run at a point of the container's lifecycle. */
export interface Hook {
  /** Absolute path in the runtime's mount namespace (the container's, for startContainer). */
  path: string;
  /** argv, [0] included. */
  args?: string[];
  env?: string[];
  /** Seconds after which the hook is killed and counts as failed. */
  timeout?: number;
}

/** The six hook lists, in lifecycle order. */
export const HOOK_NAMES = [
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
] as const;

/** Hooks by the point at which they run. */
export type Hooks = { [K in (typeof HOOK_NAMES)[number]]?: Hook[] };
