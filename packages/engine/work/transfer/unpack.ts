/**
 * Layers to snapshots: layers are applied in parallel, each to its own folder as its bytes arrive; then they are
 * committed in order, each on top of the previous one.
 *
 * A layer's snapshot is named by its ChainID (image-spec, config): the hash of the chain of uncompressed digests.
 */

import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { CONTAINERD_LABEL } from "@berth/api";
import { BerthError, isCode, stage } from "@berth/base";
import { chainIds, type Descriptor } from "@berth/oci";
import { digestOf } from "../../base/core/digest.ts";
import { KeyedMutex } from "../../base/core/mutex.ts";
import type { Scope } from "../../base/core/scope.ts";
import type { ContentStore } from "../../objects/content/content-store.ts";
import { ACTIVE } from "../../objects/snapshots/rows.ts";
import type { SnapshotStore } from "../../objects/snapshots/snapshot-store.ts";
import { applyBlob, targetOf } from "../diff/apply.ts";
import { NEEDS_PARENTS } from "../layers/apply.ts";
import type { Applying, LayerPool } from "../layers/pool.ts";
import type { StreamProcessors } from "../layers/processors.ts";
import type { Applied } from "../layers/protocol.ts";
import type { Progress } from "./progress.ts";

/** Dependencies of unpacking. */
export interface UnpackParts {
  content: ContentStore;
  snapshots: SnapshotStore;
  pool: LayerPool;
  processors: StreamProcessors;
}

/** Concurrent unpacks of an image are serialized: the second one finds everything done. */
const unpacking = new KeyedMutex();

interface Pending {
  index: number;
  key: string;
  /** Set while the layer is applied ahead of its parent. */
  early: Applying | undefined;
}

/** Unpacks one image; call {@link growing} as layers arrive, then {@link finish}. */
export class Unpacker {
  readonly #parts: UnpackParts;
  readonly #scope: Scope;
  readonly #snapshotter: string;
  readonly #layers: readonly Descriptor[];
  readonly #diffIds: readonly string[];
  readonly #chain: readonly string[];
  readonly #progress: Progress;
  /** Whether a layer can be applied before its parent is there. */
  readonly #layersAlone: boolean;
  readonly #pending = new Map<number, Pending>();
  readonly #preparing = new Map<number, Promise<Pending | undefined>>();

  constructor(
    parts: UnpackParts,
    scope: Scope,
    options: {
      snapshotter: string;
      layers: readonly Descriptor[];
      diffIds: readonly string[];
      progress: Progress;
    },
  ) {
    if (options.layers.length !== options.diffIds.length)
      throw new BerthError(
        "invalid_argument",
        `the image has ${options.layers.length} layers, but its config lists ${options.diffIds.length}`,
        { stage: "unpack" },
      );
    this.#parts = parts;
    this.#scope = scope;
    this.#snapshotter = options.snapshotter;
    this.#layers = options.layers;
    this.#diffIds = options.diffIds;
    this.#chain = chainIds(options.diffIds, digestOf);
    this.#progress = options.progress;
    const { snapshots } = parts;
    this.#layersAlone = "appliesAlone" in snapshots.snapshotter(options.snapshotter);
  }

  /** Name of the snapshot with all layers; "" for an image without layers. */
  get top(): string {
    return this.#chain.at(-1) ?? "";
  }

  get #where() {
    return { ns: this.#scope.namespace, snapshotter: this.#snapshotter };
  }

  /** Whether the layer's snapshot exists. */
  has(index: number): boolean {
    return this.#parts.snapshots.find(this.#where, this.#chain[index]!) !== undefined;
  }

  /** Adds the existing snapshots to the call's lease. */
  #holdExisting(index: number): void {
    this.#parts.snapshots.hold(this.#scope, this.#snapshotter, this.#chain[index]!);
  }

  /** Begins to apply a layer from a growing file; returns a callback for its size. */
  growing(index: number, file: string): (available: number) => void {
    const size = this.#layers[index]!.size;
    let available = 0;
    let early: Applying | undefined;
    if (this.#appliesAlone(index) && !this.has(index) && !this.#preparing.has(index))
      void this.#prepareEarly(index, this.#openSource(index, file)).then((pending) => {
        early = pending?.early;
        early?.progress(available, available >= size);
      });
    return (now) => {
      available = now;
      early?.progress(now, now >= size);
    };
  }

  /** Whether a layer can be applied while it arrives, and before its parents. */
  #appliesAlone(index: number): boolean {
    return this.#layersAlone && this.#parts.processors.chain(this.#layers[index]!.mediaType).length === 0;
  }

  /** Opens the file now: it is renamed once it is complete, and the worker may get to it only later. */
  #openSource(index: number, file: string): number {
    try {
      return fs.openSync(file, "r");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      return fs.openSync(this.#parts.content.blobPath(this.#layers[index]!.digest), "r");
    }
  }

  #prepareEarly(index: number, source: number): Promise<Pending | undefined> {
    const preparing = this.#prepare(index, "").then(
      (key) => {
        const root = this.#parts.snapshots.folder(this.#where, key);
        const target =
          index === 0
            ? { root, parents: [], whiteouts: "delete" as const }
            : { root, parents: undefined, whiteouts: "overlay" as const };
        // Threads share descriptors: the worker opens the same file through it.
        const file = `/proc/self/fd/${source}`;
        const early = this.#parts.pool.apply(file, `layer ${this.#layers[index]!.digest}`, target);
        early.done.catch(() => {}).finally(() => fs.closeSync(source));
        const pending = { index, key, early };
        this.#pending.set(index, pending);
        return pending;
      },
      // The error will be reported when it is the layer's turn.
      () => {
        fs.closeSync(source);
        return undefined;
      },
    );
    this.#preparing.set(index, preparing);
    return preparing;
  }

  async #prepare(index: number, parent: string): Promise<string> {
    const key = `extract-${Date.now()}-${randomBytes(4).toString("hex")} ${this.#chain[index]}`;
    await this.#parts.snapshots.prepare(this.#scope, this.#snapshotter, {
      key,
      parent,
      labels: {},
      kind: ACTIVE,
    });
    return key;
  }

  /** Applies and commits the missing layers; all blobs must be in the store. Resolves with the top snapshot. */
  finish(): Promise<string> {
    if (this.top === "") return Promise.resolve("");
    const lock = `${this.#scope.namespace}/${this.#snapshotter}/${this.top}`;
    return unpacking.run(lock, () =>
      stage("unpack", { snapshotter: this.#snapshotter, layers: this.#layers.length }, async () => {
        // Layers that were complete from the start are applied in parallel, too.
        if (this.#layersAlone)
          for (const [index, layer] of this.#layers.entries())
            if (!this.has(index) && !this.#preparing.has(index))
              this.growing(index, this.#parts.content.blobPath(layer.digest))(layer.size);
        for (const index of this.#layers.keys()) await this.#commitLayer(index);
        return this.top;
      }),
    );
  }

  async #commitLayer(index: number): Promise<void> {
    const layer = this.#layers[index]!;
    const chainId = this.#chain[index]!;
    const parent = index === 0 ? "" : this.#chain[index - 1]!;
    const name = `layer-${layer.digest}`;
    const pending = await this.#preparing.get(index);
    if (this.has(index)) {
      this.#holdExisting(index);
      await this.#dropPending(index);
      this.#progress.step("already exists", name, { desc: layer, progress: layer.size });
      return;
    }
    this.#progress.step("extracting", name, { desc: layer, progress: layer.size });
    await stage("unpack layer", { digest: layer.digest, size: layer.size }, async () => {
      let key = pending?.key;
      let applied: Applied | undefined;
      if (pending?.early !== undefined) {
        try {
          applied = await pending.early.done;
          if (index > 0 && !applied.hasRoot) this.#copyRoot(pending.key, parent);
        } catch (error) {
          await this.#dropPending(index);
          if ((error as BerthError).stage !== NEEDS_PARENTS) throw error;
          key = undefined;
        }
      }
      if (applied === undefined) {
        key = await this.#prepare(index, parent);
        this.#pending.set(index, { index, key, early: undefined });
        const target = targetOf(await this.#parts.snapshots.mounts(this.#where, key));
        applied = await applyBlob(this.#parts, layer, target).catch((error) => this.#blame(layer, error));
      }
      const expected = this.#diffIds[index]!;
      if (applied.diffId !== expected)
        await this.#blame(
          layer,
          new BerthError(
            "data_loss",
            `wrong diff id calculated on extraction ${JSON.stringify(applied.diffId)}, expected ${JSON.stringify(expected)}`,
            {
              stage: "unpack",
              hint: "the image's config and layers do not belong together",
            },
          ),
        );
      try {
        await this.#parts.snapshots.commit(this.#scope, this.#snapshotter, {
          name: chainId,
          key: key!,
          labels: {},
          parent,
        });
        this.#pending.delete(index);
      } catch (error) {
        if (!isCode(error, "already_exists")) throw error;
        // Another image with the same layer was faster.
        await this.#dropPending(index);
        this.#holdExisting(index);
      }
      this.#parts.content.updateLabels(this.#scope.namespace, layer.digest, (labels) => ({
        ...labels,
        [CONTAINERD_LABEL.uncompressed]: expected,
      }));
    });
    this.#progress.step("extracted", name, { desc: layer, progress: layer.size });
  }

  /** A layer's failure may be due to a corrupt blob: then that is reported instead. */
  async #blame(layer: Descriptor, error: unknown): Promise<never> {
    if (!isCode(error, "canceled")) await this.#parts.content.check(this.#scope.namespace, layer.digest);
    throw error;
  }

  /** Copies the root folder's attributes from the layer below, unless the layer sets them. */
  #copyRoot(key: string, parent: string): void {
    const below = fs.statSync(this.#parts.snapshots.folder(this.#where, parent));
    const folder = this.#parts.snapshots.folder(this.#where, key);
    fs.chownSync(folder, below.uid, below.gid);
    fs.chmodSync(folder, below.mode & 0o7777);
  }

  async #dropPending(index: number): Promise<void> {
    const pending = this.#pending.get(index) ?? (await this.#preparing.get(index));
    this.#pending.delete(index);
    if (pending === undefined) return;
    pending.early?.cancel("the layer is not needed any more");
    await pending.early?.done.catch(() => {});
    try {
      this.#parts.snapshots.remove(this.#where, pending.key);
    } catch (error) {
      if (!isCode(error, "not_found")) throw error;
    }
  }

  /** Removes prepared but uncommitted snapshots; always call it. */
  async abandon(): Promise<void> {
    for (const preparing of this.#preparing.values()) await preparing;
    for (const index of [...this.#pending.keys()]) await this.#dropPending(index);
  }
}
