/** Fetching a blob into the content store: resumable, verified, and shared between concurrent pulls. */
import { BerthError, isCode, log, stage } from "@berth/base";
import type { Descriptor } from "@berth/oci";
import type { Labels } from "../../base/core/names.ts";
import type { Scope } from "../../base/core/scope.ts";
import type { ContentStore } from "../../objects/content/content-store.ts";
import type { BlobAnswer, Repository } from "./repository.ts";

/** Called with the number of bytes on disk. */
export type OnBytes = (available: number) => void;

const TRIES = 6;

interface Fetching {
  done: Promise<void>;
  listeners: Set<OnBytes>;
  available: number;
  /** File being written, once it is known. */
  file: Promise<string>;
}

/** Fetches of all pulls. */
export class Fetcher {
  readonly #content: ContentStore;
  readonly #running = new Map<string, Fetching>();

  constructor(content: ContentStore) {
    this.#content = content;
  }

  /**
   * Fetches a blob unless it exists. `onFile` is called with the growing file (only if something is fetched), and
   * `onBytes` with its size.
   */
  async fetch(
    scope: Scope,
    repository: Repository,
    blob: Descriptor,
    options: { ref: string; labels: Labels; onBytes?: OnBytes; onFile?: (file: string) => void },
  ): Promise<"exists" | "fetched"> {
    const key = `${scope.namespace}/${blob.digest}`;
    const running = this.#running.get(key);
    if (running !== undefined) {
      if (options.onBytes !== undefined) {
        running.listeners.add(options.onBytes);
        options.onBytes(running.available);
      }
      if (options.onFile !== undefined) running.file.then(options.onFile, () => {});
      try {
        await running.done;
      } catch (error) {
        running.listeners.delete(options.onBytes ?? (() => {}));
        // The other pull was cancelled; this one was not.
        if (isCode(error, "canceled") && !repository.aborted)
          return this.fetch(scope, repository, blob, options);
        throw error;
      }
      // The blob is held by the other pull's lease: add it to ours, too.
      this.#content.hold(scope, blob.digest);
      return "fetched";
    }
    if (this.#content.hold(scope, blob.digest)) return "exists";
    const listeners = new Set<OnBytes>();
    if (options.onBytes !== undefined) listeners.add(options.onBytes);
    let tellFile: (file: string) => void = () => {};
    const entry: Fetching = {
      listeners,
      available: 0,
      file: new Promise<string>((resolve) => {
        tellFile = resolve;
      }),
      done: Promise.resolve(),
    };
    if (options.onFile !== undefined) entry.file.then(options.onFile, () => {});
    entry.done = stage("fetch", { digest: blob.digest, size: blob.size }, () =>
      this.#download(scope, repository, blob, options, entry, tellFile),
    );
    this.#running.set(key, entry);
    try {
      await entry.done;
      return "fetched";
    } finally {
      this.#running.delete(key);
    }
  }

  async #download(
    scope: Scope,
    repository: Repository,
    blob: Descriptor,
    options: { ref: string; labels: Labels },
    entry: Fetching,
    tellFile: (file: string) => void,
  ): Promise<void> {
    let writer: Awaited<ReturnType<ContentStore["openWriter"]>>;
    try {
      writer = await this.#content.openWriter(scope, {
        ref: options.ref,
        expected: blob.digest,
        total: blob.size,
      });
    } catch (error) {
      if (isCode(error, "already_exists")) return;
      throw error;
    }
    const report = () => {
      entry.available = writer.offset;
      for (const listener of entry.listeners) listener(writer.offset);
    };
    try {
      if (writer.offset > blob.size) await writer.restart();
      // A blob of another namespace is complete: no file is growing.
      if (writer.ingest.expected === "") tellFile(this.#content.ingestPath(writer.ingest.number));
      report();
      let blame = () => false;
      for (let attempt = 1; ; attempt++) {
        if (writer.offset >= blob.size) {
          if (writer.digest === blob.digest || writer.ingest.expected !== "" || !blame()) break;
          // Another host may have the right one.
          await writer.restart();
        }
        const before = writer.offset;
        try {
          const answer = await repository.blob(blob, writer.offset);
          blame = answer.blame;
          await this.#stream(answer, blob, writer, report);
        } catch (error) {
          if (!isCode(error, "unavailable")) throw error;
          if (blame()) continue;
          // Progress resets the attempts.
          if (writer.offset > before) attempt = 1;
          if (attempt >= TRIES) throw error;
          log.debug("a download broke off; resuming", {
            digest: blob.digest,
            at: writer.offset,
            error: String(error),
          });
          await new Promise((resolve) => setTimeout(resolve, 200 * 2 ** (attempt - 1)));
        }
      }
      await writer.commit(blob.size, blob.digest, options.labels);
    } catch (error) {
      if (!isCode(error, "already_exists")) throw error;
    } finally {
      writer.close();
    }
  }

  async #stream(
    { body, from, name }: BlobAnswer,
    blob: Descriptor,
    writer: { offset: number; write(data: Uint8Array): void },
    report: () => void,
  ): Promise<void> {
    // A registry that cannot resume sends everything again: skip what exists.
    let skip = writer.offset - from;
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        const data = skip > 0 ? chunk.subarray(Math.min(skip, chunk.length)) : chunk;
        skip -= chunk.length - data.length;
        if (data.length === 0) continue;
        if (writer.offset + data.length > blob.size)
          throw new BerthError(
            "data_loss",
            `registry ${name} sent more than the ${blob.size} bytes of ${blob.digest}`,
            { stage: "registry" },
          );
        writer.write(data);
        report();
      }
    } catch (cause) {
      if (cause instanceof BerthError) throw cause;
      throw interrupted(name, blob, writer.offset, cause);
    } finally {
      body.destroy();
    }
    if (writer.offset < blob.size) throw interrupted(name, blob, writer.offset, undefined);
  }
}

function interrupted(host: string, blob: Descriptor, got: number, cause: unknown): BerthError {
  return new BerthError(
    "unavailable",
    `registry ${host} sent ${got} of the ${blob.size} bytes of ${blob.digest} and broke off`,
    {
      stage: "registry",
      cause,
      hint: "pull again: what has been fetched is kept",
    },
  );
}
