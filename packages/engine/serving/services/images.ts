/** The Images service on the wire. */
import { images, nanoseconds, timestamp } from "@berth/api";
import { BerthError } from "@berth/base";
import { EncodedMessage, type Service, service } from "@berth/rpc";
import { create, toBinary } from "@bufbuild/protobuf";
import { pathsOf } from "../../base/core/mask.ts";
import { scopeOf } from "../../base/core/scope.ts";
import { fromDescriptor, toDescriptor } from "../../base/core/wire.ts";
import { compileFilters, fieldsOf } from "../../base/filters/index.ts";
import type { Collector } from "../../objects/gc/collector.ts";
import type { ImageFields, ImageStore } from "../../objects/images/image-store.ts";
import type { ImageRecord } from "../../objects/images/rows.ts";

/** Serves `store`; `collector` collects at deletions and when an image expires. */
export function imagesService(store: ImageStore, collector: Collector): Service {
  const show = (image: Readonly<ImageRecord>) => ({
    name: image.name,
    labels: image.labels,
    target: toDescriptor(image.target),
    createdAt: timestamp(BigInt(image.created)),
    updatedAt: timestamp(BigInt(image.updated)),
  });
  const known = new WeakMap<Readonly<ImageRecord>, Uint8Array>();
  const encoded = (image: Readonly<ImageRecord>): Uint8Array => {
    const found = known.get(image);
    if (found !== undefined) return found;
    const bytes = toBinary(images.ImageSchema, create(images.ImageSchema, show(image)));
    known.set(image, bytes);
    return bytes;
  };
  const wanted = (image: images.Image | undefined): ImageFields => {
    if (image === undefined) throw new BerthError("invalid_argument", "image is missing: invalid argument");
    return { name: image.name, labels: image.labels, target: fromDescriptor(image.target) };
  };
  return service(images.Images, {
    get: ({ name }, call) => ({ image: show(store.get(scopeOf(call).namespace, name)) }),
    list: async ({ filters }, call) => {
      const passes = await compileFilters(filters, (i: Readonly<ImageRecord>) =>
        fieldsOf(
          { name: i.name, "target.digest": i.target.digest, "target.mediatype": i.target.mediaType },
          i.labels,
          i.target.annotations,
        ),
      );
      const found = store.list(scopeOf(call).namespace).filter(passes);
      // Field 1: images.
      return EncodedMessage.list(1, found.map(encoded));
    },
    create: ({ image, sourceDateEpoch }, call) => {
      const made = store.create(scopeOf(call).namespace, wanted(image), nanoseconds(sourceDateEpoch));
      collector.expect(made.labels);
      return { image: show(made) };
    },
    update: ({ image, updateMask }, call) => {
      const updated = store.update(scopeOf(call).namespace, wanted(image), pathsOf(updateMask));
      collector.expect(updated.labels);
      return { image: show(updated) };
    },
    delete: async ({ name, sync, target }, call) => {
      store.delete(scopeOf(call).namespace, name, target?.digest || undefined);
      await collector.request(sync);
      return {};
    },
  });
}
