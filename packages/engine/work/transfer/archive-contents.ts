/** What an archive of images holds: their blobs for the platforms, the index, and Docker's manifest.json. */
import { CONTAINERD_LABEL, type transferTypes } from "@berth/api";
import { BerthError } from "@berth/base";
import { type Descriptor, isIndex, parseReference } from "@berth/oci";
import { hostPlatform } from "../../base/core/platform.ts";
import type { ContentStore } from "../../objects/content/content-store.ts";
import type { ImageRecord } from "../../objects/images/rows.ts";
import { type Choice, platformText, take } from "./choice.ts";
import * as manifests from "./manifests.ts";
import { FULL_NAME, REF_NAME } from "./names.ts";

/** Layers that a registry's owner does not let others distribute, such as those of Windows. */
const NON_DISTRIBUTABLE = /\.(foreign|nondistributable)\./;

/** An image in Docker's manifest.json. */
interface DockerEntry {
  Config: string;
  RepoTags: string[];
  Layers: string[];
}

/** Collects images. */
export class ArchiveContents {
  readonly #content: ContentStore;
  readonly #ns: string;
  readonly #options: transferTypes.ImageExportStream;
  readonly #choice: Choice;
  readonly #blobs = new Map<string, Descriptor>();
  readonly #docker = new Map<string, DockerEntry>();
  /** The archive's index. */
  readonly entries: Descriptor[] = [];

  constructor(content: ContentStore, ns: string, options: transferTypes.ImageExportStream) {
    this.#content = content;
    this.#ns = ns;
    this.#options = options;
    const { allPlatforms, platforms } = options;
    this.#choice = {
      platforms: allPlatforms ? [] : platforms.length > 0 ? platforms : [hostPlatform()],
      allMetadata: false,
      limit: 0,
    };
  }

  /** The blobs, each once. */
  get blobs(): readonly Descriptor[] {
    return [...this.#blobs.values()];
  }

  /** The images, each once with all its names. */
  get docker(): readonly DockerEntry[] {
    return [...this.#docker.values()];
  }

  /** Adds an image: an index stays what it is, also if not all platforms' manifests come with it. */
  add({ name, target }: ImageRecord): void {
    this.#collect(target);
    const { tag } = parseReference(name);
    const sources = Object.entries(this.#content.info(this.#ns, target.digest).labels).filter(([key]) =>
      key.startsWith(CONTAINERD_LABEL.distributionSource),
    );
    const names = { [FULL_NAME]: name, [REF_NAME]: tag ?? name };
    this.entries.push({
      ...target,
      annotations: { ...target.annotations, ...names, ...Object.fromEntries(sources) },
    });
    if (!this.#options.skipCompatibilityManifest) this.#addForDocker(name, target);
  }

  /** Docker knows one platform: the first that was asked for, or this machine's. */
  #addForDocker(name: string, target: Descriptor): void {
    const preferred = this.#choice.platforms.length > 0 ? this.#choice.platforms : [hostPlatform()];
    const [first] = preferred.flatMap((platform) =>
      manifests.manifestsOf(this.#content, this.#ns, target, [platform]),
    );
    if (first === undefined) return;
    const { digest } = first.descriptor;
    const entry = this.#docker.get(digest) ?? {
      Config: pathOf(first.manifest.config.digest),
      RepoTags: [],
      Layers: first.manifest.layers.map((layer) => pathOf(layer.digest)),
    };
    // Docker refuses names by digest.
    if (!name.includes("@")) entry.RepoTags.push(name.replace(/^docker\.io\/(library\/)?/, ""));
    this.#docker.set(digest, entry);
  }

  #collect(target: Descriptor): void {
    if (this.#blobs.has(target.digest)) return;
    const { platform: _, ...descriptor } = target;
    const parsed = manifests.readManifest(this.#content, this.#ns, target.digest);
    this.#blobs.set(target.digest, descriptor);
    if (!isIndex(parsed)) {
      for (const blob of manifests.childrenOf(parsed)) {
        if (this.#options.skipNonDistributable && NON_DISTRIBUTABLE.test(blob.mediaType)) continue;
        this.#content.info(this.#ns, blob.digest);
        this.#blobs.set(blob.digest, blob);
      }
      return;
    }
    const taken = take(parsed.manifests, this.#choice);
    if (taken.length === 0 && parsed.manifests.length > 0)
      throw new BerthError(
        "not_found",
        `no manifest found for platform ${this.#choice.platforms.map(platformText).join(", ")} in ${target.digest}: not found`,
        { hint: "pull it for this platform first, or name another" },
      );
    for (const { entry } of taken) this.#collect(entry);
  }
}

/** Path of a blob in an archive. */
export function pathOf(digest: string): string {
  return `blobs/${digest.replace(":", "/")}`;
}
