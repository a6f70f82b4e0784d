/** The image store: names for content, with containerd's checks and events. */
import { images } from "@berth/api";
import { BerthError } from "@berth/base";
import { checkDigest, type Descriptor } from "@berth/oci";
import { isLabelPath, mergeLabels, notUpdatable } from "../../base/core/mask.ts";
import { checkLabels, type Labels } from "../../base/core/names.ts";
import { now } from "../../base/core/time.ts";
import type { EventBus } from "../../base/events/event-bus.ts";
import type { Database, Row } from "../../base/store/database.ts";
import { Remembered } from "../../base/store/remembered.ts";
import * as store from "./rows.ts";

/** The fields of an image that clients set. */
export interface ImageFields {
  name: string;
  target: Descriptor | undefined;
  labels: Labels;
}

/** Images that are remembered from one list to the next. */
const MAX_LISTED = 10_000;

/** Images of all namespaces. */
export class ImageStore {
  readonly #db: Database;
  readonly #events: EventBus;

  /** What was listed, by "namespace/name". */
  readonly #listed = new Remembered<Row, store.ImageRecord>(MAX_LISTED, isSameRow);

  constructor(db: Database, events: EventBus) {
    this.#db = db;
    this.#events = events;
  }

  get(ns: string, name: string): store.ImageRecord {
    return store.getImage(this.#db, ns, name);
  }

  find(ns: string, name: string): store.ImageRecord | undefined {
    return store.findImage(this.#db, ns, name);
  }

  /** All images of a namespace; an image that has not changed is the same object as in the last list. */
  list(ns: string): Readonly<store.ImageRecord>[] {
    return store
      .imageRows(this.#db, ns)
      .map((row) => this.#listed.get(`${ns}/${row.name}`, row, store.imageOf));
  }

  create(ns: string, wanted: ImageFields, createdNs?: bigint): store.ImageRecord {
    const at = String(createdNs ?? now());
    const image = { ...checked(wanted), created: at, updated: at };
    this.#db.transaction(() => {
      store.insertImage(this.#db, ns, image);
      this.#db.afterCommit(() =>
        this.#events.emit(ns, "/images/create", images.ImageCreateSchema, {
          name: image.name,
          labels: image.labels,
        }),
      );
    });
    return image;
  }

  /** Updates the fields in `paths`: target, annotations, labels or labels.<key>; without paths, target and labels. */
  update(ns: string, wanted: ImageFields, paths: readonly string[] | undefined): store.ImageRecord {
    return this.#db.transaction(() => {
      const found = store.getImage(this.#db, ns, wanted.name);
      const next = { ...found, updated: String(now()) };
      for (const path of paths ?? ["target", "labels"]) {
        if (isLabelPath(path)) next.labels = mergeLabels(path, next.labels, wanted.labels);
        else if (path === "target") next.target = checked(wanted).target;
        else if (path === "annotations")
          next.target = { ...next.target, annotations: wanted.target?.annotations ?? {} };
        else throw notUpdatable(path, "an image");
      }
      checkLabels(next.labels);
      store.replaceImage(this.#db, ns, next);
      this.#db.afterCommit(() =>
        this.#events.emit(ns, "/images/update", images.ImageUpdateSchema, {
          name: next.name,
          labels: next.labels,
        }),
      );
      return next;
    });
  }

  /** Creates the image, or replaces an existing one's target and labels. */
  put(ns: string, wanted: ImageFields): store.ImageRecord {
    return this.#db.transaction(() =>
      this.find(ns, wanted.name) === undefined ? this.create(ns, wanted) : this.update(ns, wanted, undefined),
    );
  }

  /** Removes the name; with `digest`, only if it still points there. */
  delete(ns: string, name: string, digest?: string): void {
    this.#db.transaction(() => {
      const found = store.getImage(this.#db, ns, name);
      if (digest !== undefined && found.target.digest !== digest)
        throw new BerthError("not_found", `image ${JSON.stringify(name)} has a different target: not found`);
      this.#db.run("DELETE FROM images WHERE ns = ? AND name = ?", ns, name);
      this.#db.afterCommit(() => this.#events.emit(ns, "/images/delete", images.ImageDeleteSchema, { name }));
    });
  }
}

/** A row's time of update alone would be enough, were it not for clocks that are set back. */
function isSameRow(a: Row, b: Row): boolean {
  return a.updated === b.updated && a.target === b.target && a.labels === b.labels;
}

function checked(wanted: ImageFields): { name: string; target: Descriptor; labels: Labels } {
  const { name, target, labels } = wanted;
  const refuse = (why: string) => new BerthError("invalid_argument", `${why}: invalid argument`);
  if (name === "") throw refuse("image name must not be empty");
  checkLabels(labels);
  if (target === undefined || target.digest === "") throw refuse("image target digest must not be empty");
  checkDigest(target.digest);
  if (target.size <= 0) throw refuse(`image target size is ${target.size}, it must be greater than 0`);
  if (target.mediaType === "") throw refuse("image target media type must not be empty");
  return { name, target, labels };
}
