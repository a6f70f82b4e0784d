/** Reading an image archive: every file becomes a blob, described by the index or manifest.json. */
import { createHash } from "node:crypto";
import { posix } from "node:path";
import { BerthError, isCode } from "@berth/base";
import { type Descriptor, isIndex, MEDIA_TYPES, parseManifest } from "@berth/oci";
import { digestOf } from "../../base/core/digest.ts";
import type { ContentWriter } from "../../objects/content/writer.ts";
import { compressionOf, decompress } from "../layers/decompress.ts";
import { type TarEntry, TarParser } from "../layers/tar.ts";
import * as manifests from "./manifests.ts";
import type { TransferJob } from "./parts.ts";

/** An image of an archive, and its name there. */
export interface ArchivedImage {
  descriptor: Descriptor;
  /** Full name ("docker.io/library/busybox:1"), or only a tag, or nothing. */
  name: string | undefined;
  tag: string | undefined;
}

/** JSON files of the layouts are buffered up to this size. */
const MAX_JSON = 4 << 20;

interface StoredFile {
  digest: string;
  size: number;
  /** First bytes, for detecting the layer's compression. */
  head: Uint8Array;
}

type Action = { kind: "entry"; entry: TarEntry } | { kind: "data"; chunk: Uint8Array } | { kind: "end" };

/** Reads the archive into the content store; returns its images. */
export async function readArchive(
  job: TransferJob,
  source: AsyncIterable<Uint8Array>,
): Promise<ArchivedImage[]> {
  const reader = new ArchiveReader(job);
  const actions: Action[] = [];
  const parser = new TarParser({
    entry: (entry) => actions.push({ kind: "entry", entry }),
    data: (chunk) => actions.push({ kind: "data", chunk }),
    end: () => actions.push({ kind: "end" }),
  });
  try {
    for await (const chunk of decompress(source, "the archive")) {
      job.signal.throwIfAborted();
      parser.push(chunk);
      for (const action of actions) await reader.take(action);
      actions.length = 0;
    }
    parser.finish();
  } finally {
    reader.close();
  }
  return reader.images();
}

class ArchiveReader {
  readonly #job: TransferJob;
  readonly #files = new Map<string, StoredFile>();
  readonly #links = new Map<string, string>();
  readonly #json = new Map<string, Buffer>();
  #current:
    | { path: string; writer: ContentWriter; head: Uint8Array; json: Buffer[] | undefined; size: number }
    | undefined;

  constructor(job: TransferJob) {
    this.#job = job;
  }

  async take(action: Action): Promise<void> {
    if (action.kind === "entry") await this.#begin(action.entry);
    else if (action.kind === "data") this.#data(action.chunk);
    else await this.#end();
  }

  async #begin(entry: TarEntry): Promise<void> {
    const path = posix.normalize(entry.name).replace(/^(\.?\/)+/, "");
    if (entry.type === "symlink" || entry.type === "hardlink") {
      const target =
        entry.type === "symlink"
          ? posix.join(posix.dirname(path), entry.linkname)
          : posix.normalize(entry.linkname);
      this.#links.set(path, target);
      return;
    }
    if (entry.type !== "file") return;
    const { parts, scope } = this.#job;
    const blob = /^blobs\/(sha256)\/([a-f0-9]{64})$/.exec(path);
    const isJson =
      blob === null && entry.size <= MAX_JSON && /^(index\.json|manifest\.json|oci-layout)$/.test(path);
    const ref = `import-${createHash("sha256").update(path).digest("hex").slice(0, 16)}-${Date.now()}-${this.#files.size}`;
    // An existing blob is read and checked all the same: the archive has to be consistent.
    const writer = await parts.content.openWriter(scope, {
      ref: blob === null ? ref : `${ref}-${blob[2]!.slice(0, 12)}`,
      total: entry.size,
    });
    this.#current = { path, writer, head: new Uint8Array(), json: isJson ? [] : undefined, size: entry.size };
  }

  #data(chunk: Uint8Array): void {
    const current = this.#current;
    if (current === undefined) return;
    if (current.head.length < 8) current.head = Buffer.concat([current.head, chunk.subarray(0, 8)]);
    current.json?.push(Buffer.from(chunk));
    current.writer.write(chunk);
  }

  async #end(): Promise<void> {
    const current = this.#current;
    this.#current = undefined;
    if (current === undefined) return;
    const { path, writer, head, json, size } = current;
    const named = /^blobs\/sha256\/([a-f0-9]{64})$/.exec(path);
    const expected = named === null ? "" : `sha256:${named[1]}`;
    const { digest } = writer;
    try {
      if (json !== undefined) {
        // Part of the layout, not of an image.
        this.#json.set(path, Buffer.concat(json));
        writer.close();
        this.#job.parts.content.abort(this.#job.scope.namespace, writer.ingest.ref);
        return;
      }
      await writer.commit(size, expected, {});
    } catch (error) {
      if (!isCode(error, "already_exists")) throw error;
    } finally {
      writer.close();
    }
    this.#files.set(path, { digest, size, head });
    const event = { desc: { mediaType: "application/octet-stream", digest, size }, progress: size };
    this.#job.progress.step("complete", `blob-${digest}`, event);
  }

  close(): void {
    const current = this.#current;
    this.#current = undefined;
    if (current === undefined) return;
    current.writer.close();
    this.#job.parts.content.abort(this.#job.scope.namespace, current.writer.ingest.ref);
  }

  #file(path: string): StoredFile {
    let at = posix.normalize(path);
    for (let hops = 0; hops < 8; hops++) {
      const found = this.#files.get(at);
      if (found !== undefined) return found;
      const next = this.#links.get(at);
      if (next === undefined) break;
      at = next;
    }
    throw new BerthError(
      "invalid_argument",
      `the archive refers to ${JSON.stringify(path)}, which is not in it: invalid argument`,
      {
        stage: "import",
        path,
      },
    );
  }

  async images(): Promise<ArchivedImage[]> {
    const index = this.#json.get("index.json");
    const docker = this.#json.get("manifest.json");
    if (index !== undefined) return this.#fromIndex(index);
    if (docker !== undefined) return this.#fromDocker(docker);
    throw new BerthError(
      "invalid_argument",
      "the archive has neither index.json nor manifest.json: it is no image archive",
      {
        stage: "import",
        hint: "give an archive made by `berth save`, `docker save` or `skopeo copy ... oci-archive:`",
      },
    );
  }

  #fromIndex(bytes: Buffer): ArchivedImage[] {
    const parsed = parseManifest(manifests.textOf(bytes), "index.json");
    if (!isIndex(parsed))
      throw new BerthError("invalid_argument", "index.json of the archive is no index", { stage: "import" });
    return parsed.manifests.map(({ platform: _, ...descriptor }) => {
      const annotations = descriptor.annotations ?? {};
      const full = annotations["io.containerd.image.name"];
      const ref = annotations["org.opencontainers.image.ref.name"];
      const isFull = ref !== undefined && /[/:]/.test(ref);
      const plain: Descriptor = {
        mediaType: descriptor.mediaType,
        digest: descriptor.digest,
        size: descriptor.size,
      };
      return { descriptor: plain, name: full ?? (isFull ? ref : undefined), tag: isFull ? undefined : ref };
    });
  }

  async #fromDocker(bytes: Buffer): Promise<ArchivedImage[]> {
    let entries: { Config: string; RepoTags: string[] | null; Layers: string[] }[];
    try {
      entries = JSON.parse(bytes.toString("utf8"));
      if (!Array.isArray(entries)) throw new Error("it is no list");
    } catch (cause) {
      throw new BerthError(
        "invalid_argument",
        `manifest.json of the archive is not valid: ${(cause as Error).message}`,
        {
          stage: "import",
          cause,
        },
      );
    }
    const out: ArchivedImage[] = [];
    for (const [i, entry] of entries.entries()) {
      if (typeof entry?.Config !== "string" || !Array.isArray(entry.Layers))
        throw new BerthError(
          "invalid_argument",
          `manifest.json[${i}] of the archive needs Config and Layers`,
          { stage: "import" },
        );
      const config = this.#file(entry.Config);
      const layers = entry.Layers.map((path) => this.#file(path));
      const manifest = Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: MEDIA_TYPES.dockerManifest,
          config: { mediaType: MEDIA_TYPES.dockerConfig, digest: config.digest, size: config.size },
          layers: layers.map(({ digest, size, head }) => {
            const kind = compressionOf(head);
            return {
              mediaType: kind === "none" ? MEDIA_TYPES.dockerLayer : `${MEDIA_TYPES.dockerLayer}.${kind}`,
              digest,
              size,
            };
          }),
        }),
      );
      const digest = digestOf(manifest);
      await this.#job.parts.content.put(this.#job.scope, digest, manifest);
      const descriptor = { mediaType: MEDIA_TYPES.dockerManifest, digest, size: manifest.length };
      const tags = entry.RepoTags ?? [];
      if (tags.length === 0) out.push({ descriptor, name: undefined, tag: undefined });
      for (const name of tags) out.push({ descriptor, name, tag: undefined });
    }
    return out;
  }
}
