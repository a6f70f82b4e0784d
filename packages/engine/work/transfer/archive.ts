/** Reading an image archive: every file becomes a blob, described by the index or manifest.json. */
import { createHash } from "node:crypto";
import { posix } from "node:path";
import { BerthError, isCode } from "@berth/base";
import { type Index, isIndex, parseManifest } from "@berth/oci";
import type { ContentWriter } from "../../objects/content/writer.ts";
import { decompress } from "../layers/decompress.ts";
import { type TarEntry, TarParser } from "../layers/tar.ts";
import { readDocker } from "./docker-archive.ts";
import * as manifests from "./manifests.ts";
import type { TransferJob } from "./parts.ts";

/** The index of an archive, and its bytes: those of index.json, or what manifest.json means. */
export interface ArchiveIndex {
  index: Index;
  bytes: Buffer;
}

/** JSON files of the layouts are buffered up to this size. */
const MAX_JSON = 4 << 20;

/** A file of an archive, which is a blob. */
export interface StoredFile {
  digest: string;
  size: number;
  /** First bytes, for detecting the layer's compression. */
  head: Uint8Array;
}

type Action = { kind: "entry"; entry: TarEntry } | { kind: "data"; chunk: Uint8Array } | { kind: "end" };

/** Reads the archive into the content store; with `compress`, uncompressed layers of Docker's layout are compressed. */
export async function readArchive(
  job: TransferJob,
  source: AsyncIterable<Uint8Array>,
  compress: boolean,
): Promise<ArchiveIndex> {
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
  return reader.index(compress);
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

  async index(compress: boolean): Promise<ArchiveIndex> {
    const oci = this.#json.get("index.json");
    const docker = this.#json.get("manifest.json");
    // Without oci-layout, index.json of an archive with both need not be complete.
    if (oci !== undefined && (this.#json.has("oci-layout") || docker === undefined)) {
      const index = parseManifest(manifests.textOf(oci), "index.json");
      if (isIndex(index)) return { index, bytes: oci };
      throw new BerthError("invalid_argument", "index.json of the archive is no index", { stage: "import" });
    }
    if (docker !== undefined) return readDocker(this.#job, docker, (path) => this.#file(path), compress);
    throw new BerthError(
      "invalid_argument",
      "the archive has neither index.json nor manifest.json: it is no image archive",
      {
        stage: "import",
        hint: "give an archive made by `berth save`, `docker save` or `skopeo copy ... oci-archive:`",
      },
    );
  }
}
