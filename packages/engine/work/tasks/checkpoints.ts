/**
 * Checkpoints as content. CRIU's image folder becomes a tar blob, beside one of the container's spec; a blob becomes
 * a folder again, which is kept as long as the task restored from it. Media types are containerd's.
 */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { BerthError } from "@berth/base";
import type { Descriptor } from "@berth/oci";
import { toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { digestOf } from "../../base/core/digest.ts";
import type { Scope } from "../../base/core/scope.ts";
import type { ContentStore } from "../../objects/content/content-store.ts";
import { createDiff } from "../diff/create.ts";
import type { LayerPool } from "../layers/pool.ts";

const IMAGE_TYPE = "application/vnd.containerd.container.criu.checkpoint.criu.tar";
const CONFIG_TYPE = "application/vnd.containerd.container.checkpoint.config.v1+proto";

/** Folders of images, and blobs. */
export class Checkpoints {
  readonly #content: ContentStore;
  readonly #pool: LayerPool;
  readonly #folder: string;

  /** `folder` is exclusively for checkpoints; an earlier daemon's partial images are removed. */
  constructor(content: ContentStore, pool: LayerPool, folder: string) {
    this.#content = content;
    this.#pool = pool;
    this.#folder = folder;
    rmSync(join(folder, "new"), { recursive: true, force: true });
  }

  /** Calls `write` to fill a folder, and stores its contents; returns the descriptors of the image and the spec. */
  async save(
    scope: Scope,
    spec: Any,
    signal: AbortSignal,
    write: (folder: string) => Promise<void>,
  ): Promise<Descriptor[]> {
    const folder = join(this.#folder, "new", randomBytes(8).toString("hex"));
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    try {
      await write(folder);
      const source = { type: "bind", source: folder, target: "", options: [] };
      const request = {
        left: [],
        right: [source],
        mediaType: IMAGE_TYPE,
        ref: "",
        labels: {},
        newest: undefined,
      };
      const image = await createDiff(this.#content, scope, request, signal);
      const config = toBinary(AnySchema, spec);
      const digest = digestOf(config);
      await this.#content.put(scope, digest, config);
      return [image, { mediaType: CONFIG_TYPE, digest, size: config.length }];
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /** Unpacks an image into a folder, for a task to be restored from it. */
  async load(ns: string, id: string, image: Descriptor): Promise<string> {
    if (image.mediaType !== IMAGE_TYPE)
      throw new BerthError(
        "invalid_argument",
        `checkpoint: found media type ${JSON.stringify(image.mediaType)}, expected ${IMAGE_TYPE}: invalid argument`,
      );
    const { size } = this.#content.info(ns, image.digest);
    const folder = join(this.#folder, ns, id);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const applying = this.#pool.apply(this.#content.blobPath(image.digest), `checkpoint ${image.digest}`, {
      root: folder,
      parents: [],
      whiteouts: "delete",
    });
    applying.progress(size, true);
    try {
      await applying.done;
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
    return folder;
  }

  /** Removes the image folder of a deleted task. */
  forget(ns: string, id: string): void {
    const folder = join(this.#folder, ns, id);
    if (existsSync(folder)) rmSync(folder, { recursive: true, force: true });
  }

  /** Removes the image folders of tasks that no longer exist. */
  sweep(exists: (ns: string, id: string) => boolean): void {
    if (!existsSync(this.#folder)) return;
    for (const ns of readdirSync(this.#folder))
      for (const id of readdirSync(join(this.#folder, ns))) if (!exists(ns, id)) this.forget(ns, id);
  }
}
