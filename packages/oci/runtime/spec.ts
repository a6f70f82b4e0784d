/**
 * config.json of the OCI runtime specification 1.3, Linux part: the object a bundle's runtime obeys.
 *
 * Field names are those of the JSON. An absent field is absent (never null): {@link parseSpec} removes nulls,
 * as Go readers do. 64-bit integers are {@link Int64}.
 */
import type { Linux } from "./linux.ts";
import type { Mount } from "./mount.ts";
import type { Process } from "./process.ts";

/**
 * An integer that may need 64 bits: a number where it is exact, else a bigint. JSON of such values must be
 * read and written with `parseJson` and `stringifyJson`, which lose no digit.
 */
export type Int64 = number | bigint;

/** A whole config.json. */
export interface Spec {
  /** Version of the runtime specification this was written for, for instance "1.2.0". */
  ociVersion: string;
  /** The container's process; needed to start it. */
  process?: Process;
  /** The container's root file system. */
  root?: Root;
  /** Needs a uts namespace. */
  hostname?: string;
  /** NIS domain name; needs a uts namespace. */
  domainname?: string;
  /** Mounts, made in this order. */
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

/** A program run at a point of the container's life. */
export interface Hook {
  /** Absolute path in the runtime's mount namespace (the container's, for startContainer). */
  path: string;
  /** argv, [0] included. */
  args?: string[];
  env?: string[];
  /** Seconds after which the hook is killed and has failed. */
  timeout?: number;
}

/** The names of the six hook lists, in the order of a container's life. */
export const HOOK_NAMES = [
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
] as const;

/** Hooks by the moment they run at. */
export type Hooks = { [K in (typeof HOOK_NAMES)[number]]?: Hook[] };
