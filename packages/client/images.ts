/** Images: names for content; pulling, pushing, importing and exporting them. */

import { pack } from "@berth/api/any";
import * as api from "@berth/api/images";
import { dateOf } from "@berth/api/time";
import { BerthError, isCode } from "@berth/base";
import type { Connection } from "@berth/grpc/client";
import {
  chainIds,
  chooseManifest,
  type Descriptor,
  type ImageConfig,
  type Index,
  isIndexType,
  type Manifest,
  normalizeReference,
  type Platform,
  platformOfNode,
} from "@berth/oci";
import type { CallOptions } from "@berth/rpc";
import { Content } from "./content.ts";
import { digestOf } from "./digest.ts";
import type { OnProgress } from "./transfer.ts";

/** An image record. */
export interface Image {
  name: string;
  labels: Record<string, string>;
  target: Descriptor;
  createdAt: Date | undefined;
  updatedAt: Date | undefined;
}

/** An image for one platform, with its documents. */
export interface ResolvedImage {
  image: Image;
  manifest: Manifest;
  manifestDigest: string;
  config: ImageConfig;
  configDigest: string;
  /** Name of the snapshot of all layers; "" for an image without layers. */
  chainId: string;
}

/** When to pull an image. */
export type PullPolicy = "missing" | "always" | "never";

/** How the daemon reaches a registry. */
export interface RegistryOptions {
  /** Speak http instead of https. */
  plainHttp?: boolean | undefined;
  /** Folder on the daemon's machine with a folder for each registry (hosts.toml), instead of the configured ones. */
  hostsDir?: string | undefined;
}

/** Which platforms of an image count. */
export interface PlatformOptions {
  /** Default: this machine's. */
  platform?: Platform | undefined;
  /** All, instead of one. */
  allPlatforms?: boolean | undefined;
}

/** Options of a pull. */
export interface PullOptions extends CallOptions, RegistryOptions, PlatformOptions {
  /** Snapshotter to unpack into; "" to only fetch. */
  snapshotter?: string;
  onProgress?: OnProgress | undefined;
}

/** The Images service, and image transfers. */
export class Images {
  readonly #connection: Connection;
  readonly #content: Content;
  readonly #snapshotter: string;

  constructor(connection: Connection, snapshotter: string) {
    this.#connection = connection;
    this.#content = new Content(connection);
    this.#snapshotter = snapshotter;
  }

  /** The service's generated client. */
  get raw() {
    return this.#connection.client(api.Images);
  }

  /** All images that match any of the filters; all without filters. */
  async list(filters: string[] = [], options?: CallOptions): Promise<Image[]> {
    const { images } = await this.raw.list({ filters }, options);
    return images.map(imageOf);
  }

  /** The image with exactly that name; "not_found" if there is none. */
  async get(name: string, options?: CallOptions): Promise<Image> {
    return imageOf((await this.raw.get({ name }, options)).image!);
  }

  /** Removes a name; with `sync`, unreferenced content is collected before this returns. */
  async remove(name: string, options: CallOptions & { sync?: boolean } = {}): Promise<void> {
    await this.raw.delete({ name, sync: options.sync ?? false }, options);
  }

  /** Gives an image an additional name, reassigning the name if it is taken. */
  async tag(source: string, target: string, options?: CallOptions): Promise<Image> {
    const found = (await this.raw.get({ name: source }, options)).image!;
    const image = { name: target, labels: found.labels, target: found.target! };
    try {
      return imageOf((await this.raw.create({ image }, options)).image!);
    } catch (error) {
      if (!isCode(error, "already_exists")) throw error;
    }
    return imageOf(
      (await this.raw.update({ image, updateMask: { paths: ["target", "labels"] } }, options)).image!,
    );
  }

  /** Fetches an image by its full reference and unpacks it. */
  async pull(reference: string, options: PullOptions = {}): Promise<Image> {
    const {
      plainHttp,
      hostsDir,
      platform,
      allPlatforms,
      snapshotter = this.#snapshotter,
      onProgress,
      ...call
    } = options;
    const [{ transfer }, types] = await Promise.all([
      import("./transfer.ts"),
      import("@berth/api/transferTypes"),
    ]);
    await transfer(
      this.#connection,
      pack(types.OCIRegistrySchema, {
        reference,
        resolver: resolverOf({ plainHttp, hostsDir }),
      }),
      pack(types.ImageStoreSchema, {
        name: reference,
        platforms: platformsOf({ platform, allPlatforms }),
        unpacks: unpacksOf(snapshotter, platform),
      }),
      { ...call, onProgress },
    );
    return this.get(reference, call);
  }

  /** Sends an image to a registry, under `reference`. */
  async push(
    name: string,
    reference: string,
    options: CallOptions & RegistryOptions & { onProgress?: OnProgress | undefined } = {},
  ): Promise<void> {
    const { plainHttp, hostsDir, onProgress, ...call } = options;
    const [{ transfer }, types] = await Promise.all([
      import("./transfer.ts"),
      import("@berth/api/transferTypes"),
    ]);
    await transfer(
      this.#connection,
      pack(types.ImageStoreSchema, { name, platforms: [wirePlatform(hostPlatform())] }),
      pack(types.OCIRegistrySchema, { reference, resolver: resolverOf({ plainHttp, hostsDir }) }),
      { ...call, onProgress },
    );
  }

  /** Imports an OCI or docker archive and unpacks its images; returns those that were created or changed. */
  async load(
    archive: AsyncIterable<Uint8Array>,
    options: CallOptions &
      PlatformOptions & { onProgress?: OnProgress | undefined; snapshotter?: string } = {},
  ): Promise<Image[]> {
    const { onProgress, platform, allPlatforms, snapshotter = this.#snapshotter, ...call } = options;
    const [{ transfer }, types, streams] = await Promise.all([
      import("./transfer.ts"),
      import("@berth/api/transferTypes"),
      import("./streams.ts"),
    ]);
    const before = new Map((await this.list([], call)).map((image) => [image.name, stampOf(image)]));
    const id = streams.streamId("import");
    const stream = await streams.openStream(this.#connection, id);
    const prefix = `import-${new Date().toISOString().slice(0, 10)}`;
    const saved = new Set<string>();
    const abort = new AbortController();
    const signal = call.signal ? AbortSignal.any([call.signal, abort.signal]) : abort.signal;
    let broken: unknown;
    const sending = streams.sendData(stream, archive).catch((error) => {
      broken = error;
      abort.abort(BerthError.from(error));
    });
    try {
      await transfer(
        this.#connection,
        pack(types.ImageImportStreamSchema, { stream: id }),
        pack(types.ImageStoreSchema, {
          platforms: platformsOf({ platform, allPlatforms }),
          extraReferences: [
            {
              name: prefix,
              isPrefix: true,
              allowOverwrite: true,
              addDigest: true,
              skipNamedDigest: true,
              imagesOnly: true,
            },
          ],
          unpacks: unpacksOf(snapshotter, platform),
        }),
        {
          ...call,
          signal,
          onProgress: (step) => {
            if (step.event === "saved") saved.add(step.name);
            onProgress?.(step);
          },
        },
      );
      await sending;
    } catch (error) {
      // An archive's read error says more than the cancellation that follows it.
      throw broken instanceof BerthError && broken.code !== "unavailable" ? broken : error;
    } finally {
      stream.cancel();
    }
    const loaded = (await this.list([], call)).filter(
      (image) => saved.has(image.name) || before.get(image.name) !== stampOf(image),
    );
    return Promise.all(loaded.map((image) => this.#inFull(image, call)));
  }

  /** Gives an image of an archive its full name: some archives have short ones, which containerd keeps. */
  async #inFull(image: Image, options: CallOptions): Promise<Image> {
    const full = normalizeReference(image.name);
    if (full === image.name) return image;
    const renamed = await this.tag(image.name, full, options);
    await this.remove(image.name, options);
    return renamed;
  }

  /** Exports the named images: the bytes of an OCI archive (which docker can read too). */
  async *save(
    names: readonly string[],
    options: CallOptions & PlatformOptions = {},
  ): AsyncGenerator<Uint8Array> {
    const { platform, allPlatforms = false, ...call } = options;
    const [{ transfer }, types, streams] = await Promise.all([
      import("./transfer.ts"),
      import("@berth/api/transferTypes"),
      import("./streams.ts"),
    ]);
    const id = streams.streamId("export");
    const stream = await streams.openStream(this.#connection, id);
    const platforms = platformsOf({ platform, allPlatforms });
    const done = transfer(
      this.#connection,
      pack(types.ImageStoreSchema, {
        name: names.length === 1 ? names[0]! : "",
        platforms,
        extraReferences: names.length === 1 ? [] : names.map((name) => ({ name })),
      }),
      pack(types.ImageExportStreamSchema, { stream: id, platforms, allPlatforms }),
      call,
    );
    // A failed transfer ends the stream; its error is thrown below.
    const failed = done.then(
      () => undefined,
      (error: unknown) => {
        stream.cancel();
        return error;
      },
    );
    try {
      yield* streams.receiveData(stream);
    } catch (error) {
      throw (await failed) ?? error;
    } finally {
      stream.cancel();
    }
    const error = await failed;
    if (error) throw error;
  }

  /** Unpacks a stored image for this machine, unless that was done; "invalid_argument" if it is incomplete. */
  async unpack(
    name: string,
    options: CallOptions & { onProgress?: OnProgress | undefined; snapshotter?: string } = {},
  ): Promise<void> {
    const { onProgress, snapshotter = this.#snapshotter, ...call } = options;
    const [{ transfer }, types] = await Promise.all([
      import("./transfer.ts"),
      import("@berth/api/transferTypes"),
    ]);
    const platform = wirePlatform(hostPlatform());
    await transfer(
      this.#connection,
      pack(types.ImageStoreSchema, { name }),
      pack(types.ImageStoreSchema, { name, unpacks: [{ platform, snapshotter }] }),
      { ...call, onProgress },
    );
  }

  /**
   * The image of a reference, resolved for this machine; pulled first where `pull` says so, by `fetch` if given.
   * "not_found" if it is missing and must not be pulled.
   */
  async ensure(
    text: string,
    options: CallOptions & { pull?: PullPolicy; fetch?: (name: string) => Promise<unknown> } = {},
  ): Promise<ResolvedImage> {
    const { pull: policy = "missing", fetch, ...call } = options;
    const name = normalizeReference(text);
    if (policy !== "always")
      try {
        return await this.resolve(await this.get(name, call), undefined, call);
      } catch (error) {
        if (!isCode(error, "not_found")) throw error;
        if (policy === "never")
          throw new BerthError("not_found", `no such image: ${text}`, {
            hint: `Fetch it (berth pull ${text}), or leave out --pull never.`,
          });
      }
    if (fetch !== undefined) await fetch(name);
    else await this.pull(name, call);
    return this.resolve(await this.get(name, call), undefined, call);
  }

  /** Reads an image's manifest and config for a platform (default: this machine's). */
  async resolve(
    image: Image,
    platform: Platform = hostPlatform(),
    options?: CallOptions,
  ): Promise<ResolvedImage> {
    let target = image.target;
    // An index may list indexes; real images are never nested deeper than this.
    for (let depth = 0; isIndexType(target.mediaType) && depth < 4; depth++) {
      const index = await this.#content.readJson<Index>(target.digest, options);
      const fitting = chooseManifest(index.manifests, platform);
      if (!fitting)
        throw new BerthError(
          "not_found",
          `image ${image.name} has no variant for ${platform.os}/${platform.architecture}`,
          { hint: "Choose an image that is built for this machine." },
        );
      target = fitting;
    }
    const manifest = await this.#content.readJson<Manifest>(target.digest, options);
    const config = await this.#content.readJson<ImageConfig>(manifest.config.digest, options);
    return {
      image,
      manifest,
      manifestDigest: target.digest,
      config,
      configDigest: manifest.config.digest,
      chainId: chainIds(config.rootfs?.diff_ids ?? [], digestOf).at(-1) ?? "",
    };
  }
}

const hostPlatform = (): Platform => platformOfNode(process.arch);

function wirePlatform(platform: Platform) {
  return { os: platform.os, architecture: platform.architecture, variant: platform.variant ?? "" };
}

const stampOf = (image: Image): string => `${image.target.digest}@${image.updatedAt?.getTime() ?? 0}`;

function imageOf(image: api.Image): Image {
  const target = image.target!;
  return {
    name: image.name,
    labels: image.labels,
    target: {
      mediaType: target.mediaType,
      digest: target.digest,
      size: Number(target.size),
      ...(Object.keys(target.annotations).length > 0 ? { annotations: target.annotations } : {}),
    },
    createdAt: dateOf(image.createdAt),
    updatedAt: dateOf(image.updatedAt),
  };
}

function resolverOf({ plainHttp, hostsDir }: RegistryOptions) {
  return { defaultScheme: plainHttp ? "http" : "", hostDir: hostsDir ?? "" };
}

function platformsOf({ platform = hostPlatform(), allPlatforms = false }: PlatformOptions) {
  return allPlatforms ? [] : [wirePlatform(platform)];
}

/** Of several platforms, this machine's is unpacked. */
function unpacksOf(snapshotter: string, platform = hostPlatform()) {
  return snapshotter === "" ? [] : [{ platform: wirePlatform(platform), snapshotter }];
}
