/** The content store: blobs by digest below `blobs/sha256`, ingests in progress below `ingest`. */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { CONTAINERD_LABEL, eventTypes } from "@berth/api";
import { BerthError, log } from "@berth/base";
import { checkDigest } from "@berth/oci";
import { KeyedMutex } from "../../base/core/mutex.ts";
import { checkLabels, type Labels } from "../../base/core/names.ts";
import type { Scope } from "../../base/core/scope.ts";
import { now } from "../../base/core/time.ts";
import type { EventBus } from "../../base/events/event-bus.ts";
import type { Database } from "../../base/store/database.ts";
import { holdInScope } from "../leases/rows.ts";
import * as store from "./rows.ts";
import { ContentWriter, type WriterHost } from "./writer.ts";

/** Chunk size of reads, in bytes. */
const READ_CHUNK = 1 << 20;
/** An ingest without a lease is collected after this many nanoseconds. */
const INGEST_LIFE_NS = 24n * 3600n * 1_000_000_000n;

/** An ingest, how far it is, and when that was written, in nanoseconds since the epoch. */
export type IngestStatus = store.IngestRecord & { offset: number; updated: bigint };

/** Blobs and ingests of all namespaces. */
export class ContentStore implements WriterHost {
  readonly #db: Database;
  readonly #events: EventBus;
  readonly #folder: string;
  /** Whether a namespace gets another's blobs by their digests, or only those of namespaces that say so by a label. */
  readonly #sharing: "shared" | "isolated";
  /** Open ingests by "<namespace>/<ref>": since when, in milliseconds since the epoch, and their writers. */
  readonly #open = new Map<string, { since: number; writer?: ContentWriter }>();
  /** Digests that are about to get a row: their files must not be removed. */
  readonly #pending = new Map<string, number>();
  readonly #puts = new KeyedMutex();

  constructor(db: Database, events: EventBus, folder: string, sharing: "shared" | "isolated" = "shared") {
    this.#db = db;
    this.#events = events;
    this.#folder = folder;
    this.#sharing = sharing;
    fs.mkdirSync(join(folder, "blobs/sha256"), { recursive: true, mode: 0o700 });
    fs.mkdirSync(join(folder, "ingest"), { recursive: true, mode: 0o700 });
  }

  /** Path of a blob's file. */
  blobPath(digest: string): string {
    checkDigest(digest);
    return join(this.#folder, "blobs", digest.replace(":", "/"));
  }

  ingestPath(number: number): string {
    return join(this.#folder, "ingest", String(number));
  }

  /** Removes a crash's leftovers: files without a row, rows without a file. */
  cleanup(): void {
    const db = this.#db;
    for (const algorithm of fs.readdirSync(join(this.#folder, "blobs")))
      for (const hex of fs.readdirSync(join(this.#folder, "blobs", algorithm)))
        if (!store.isKnown(db, `${algorithm}:${hex}`)) {
          log.info("removing a blob that no namespace knows", { digest: `${algorithm}:${hex}` });
          fs.rmSync(join(this.#folder, "blobs", algorithm, hex), { force: true });
        }
    db.transaction(() => {
      for (const { digest } of db.all("SELECT DISTINCT digest FROM content") as { digest: string }[])
        if (!fs.existsSync(this.blobPath(digest))) {
          log.warn("a blob is gone from the disk; forgetting it", { digest });
          db.run("DELETE FROM content WHERE digest = ?", digest);
        }
    });
    const numbers = new Set(db.all("SELECT number FROM ingests").map((row) => String(row.number)));
    for (const name of fs.readdirSync(join(this.#folder, "ingest")))
      if (!numbers.has(name)) fs.rmSync(join(this.#folder, "ingest", name), { force: true });
  }

  /** The blob, or "not_found". */
  info(ns: string, digest: string): store.ContentRecord {
    checkDigest(digest);
    return store.getContent(this.#db, ns, digest);
  }

  /** The blob, or undefined. */
  find(ns: string, digest: string): store.ContentRecord | undefined {
    return store.findContent(this.#db, ns, digest);
  }

  list(ns: string): store.ContentRecord[] {
    return store.listContent(this.#db, ns);
  }

  /** Changes labels with `change`; returns the new record. */
  updateLabels(ns: string, digest: string, change: (labels: Labels) => Labels): store.ContentRecord {
    return this.#db.transaction(() => {
      const record = this.info(ns, digest);
      const labels = change(record.labels);
      checkLabels(labels);
      const updated = String(now());
      store.setContentLabels(this.#db, ns, digest, labels, updated);
      return { ...record, labels, updated };
    });
  }

  /** Deletes a blob from a namespace, and its file once no namespace has it. */
  delete(ns: string, digest: string): void {
    this.#db.transaction(() => {
      this.info(ns, digest);
      this.removeRow(ns, digest);
    });
  }

  /** Part of a transaction: removes the row now and the file after the commit. */
  removeRow(ns: string, digest: string): void {
    this.#db.run("DELETE FROM content WHERE ns = ? AND digest = ?", ns, digest);
    this.#db.afterSync(() => {
      if (!this.#pending.has(digest) && !store.isKnown(this.#db, digest))
        fs.rmSync(this.blobPath(digest), { force: true });
      this.#events.emit(ns, "/content/delete", eventTypes.ContentDeleteSchema, { digest });
    });
  }

  /** Yields a blob's bytes from `offset` on; `size` 0 means to the end. "out_of_range" beyond its end. */
  async *read(ns: string, digest: string, offset = 0, size = 0, chunk = READ_CHUNK): AsyncGenerator<Buffer> {
    const info = this.info(ns, digest);
    if (offset > info.size)
      throw new BerthError(
        "out_of_range",
        `read past object length ${info.size} bytes, offset ${offset}: out of range`,
      );
    const end = Math.min(info.size, size > 0 ? offset + size : info.size);
    const file = await fs.promises.open(this.blobPath(digest));
    try {
      for (let at = offset; at < end; ) {
        const memory = Buffer.allocUnsafe(Math.min(chunk, end - at));
        const { bytesRead } = await file.read(memory, 0, memory.length, at);
        if (bytesRead === 0) throw this.#damaged(digest, "it is shorter than recorded");
        yield memory.subarray(0, bytesRead);
        at += bytesRead;
      }
    } finally {
      await file.close();
    }
  }

  /** Yields a whole blob; throws "data_loss" after its last byte if its digest does not match. */
  async *readChecked(ns: string, digest: string): AsyncGenerator<Buffer> {
    const hash = createHash(digest.split(":")[0]!);
    for await (const chunk of this.read(ns, digest)) {
      hash.update(chunk);
      yield chunk;
    }
    this.#compare(digest, hash.digest("hex"));
  }

  /** Verifies a blob against its digest: "data_loss" if it is damaged. For use after a failure. */
  async check(ns: string, digest: string): Promise<void> {
    for await (const _ of this.readChecked(ns, digest));
  }

  #compare(digest: string, found: string): void {
    if (found !== digest.split(":")[1]) throw this.#damaged(digest, `its digest is ${found}`);
  }

  #damaged(digest: string, why: string): BerthError {
    const path = this.blobPath(digest);
    return new BerthError("data_loss", `blob ${digest} is damaged: ${why} (${path})`, {
      stage: "content",
      path,
      hint: "look at the disk; remove the images that have it (berth rmi) and pull or load them again",
    });
  }

  /**
   * Reads a whole small blob (manifest, config). "resource_exhausted" beyond `limit` bytes, "data_loss" if it is
   * damaged.
   */
  readAll(ns: string, digest: string, limit = 8 << 20): Buffer {
    const info = this.info(ns, digest);
    if (info.size > limit)
      throw new BerthError(
        "resource_exhausted",
        `content ${digest} has ${info.size} bytes, at most ${limit} are read at once`,
      );
    const bytes = fs.readFileSync(this.blobPath(digest));
    this.#compare(digest, createHash(digest.split(":")[0]!).update(bytes).digest("hex"));
    return bytes;
  }

  /**
   * Opens an ingest. "already_exists" if the namespace has the expected blob, "unavailable" if the ref is open
   * already.
   */
  async openWriter(
    scope: Scope,
    want: { ref: string; expected?: string; total?: number },
  ): Promise<ContentWriter> {
    const { ref, expected = "", total = 0 } = want;
    if (ref === "") throw new BerthError("invalid_argument", "ref must not be empty: invalid argument");
    if (expected !== "") checkDigest(expected);
    const key = `${scope.namespace}/${ref}`;
    const db = this.#db;
    if (expected !== "" && store.findContent(db, scope.namespace, expected) !== undefined) {
      db.transaction(() => holdInScope(db, scope, { type: "content", id: expected }));
      throw new BerthError("already_exists", `content ${expected}: already exists`);
    }
    const since = this.#open.get(key)?.since;
    if (since !== undefined)
      throw new BerthError(
        "unavailable",
        `ref ${key} locked for ${((Date.now() - since) / 1000).toFixed(3)}s (since ${new Date(since).toISOString()}): unavailable`,
      );
    const open: { since: number; writer?: ContentWriter } = { since: Date.now() };
    this.#open.set(key, open);
    try {
      const ingest = db.transaction(() => {
        const leased = holdInScope(db, scope, { type: "ingests", id: ref });
        const found = store.findIngest(db, scope.namespace, ref);
        if (found !== undefined) return { ...found, expected: "", total: total || found.total };
        const elsewhere = expected === "" ? undefined : this.#elsewhere(expected, total);
        return {
          ...store.insertIngest(db, scope.namespace, {
            ref,
            expected: "",
            total: elsewhere ?? total,
            started: String(now()),
            leased,
          }),
          expected: elsewhere === undefined ? "" : expected,
        };
      });
      open.writer = await ContentWriter.open(this, scope, ingest);
      return open.writer;
    } catch (error) {
      this.#open.delete(key);
      throw error;
    }
  }

  /** Size of a blob that a namespace shares; undefined if none has it with this size. */
  #elsewhere(digest: string, total: number): number | undefined {
    const sql =
      "SELECT size, namespaces.labels FROM content JOIN namespaces ON namespaces.name = ns WHERE digest = ?";
    const shared = this.#db
      .all(sql, digest)
      .find(
        ({ labels }) =>
          this.#sharing === "shared" ||
          (JSON.parse(labels as string) as Labels)[CONTAINERD_LABEL.shareable] === "true",
      );
    const size = shared === undefined ? undefined : Number(shared.size);
    return size !== undefined && (total === 0 || total === size) ? size : undefined;
  }

  async adopt(
    scope: Scope,
    ingest: store.IngestRecord,
    digest: string,
    size: number,
    labels: Labels,
  ): Promise<void> {
    checkLabels(labels);
    const target = this.blobPath(digest);
    const source = this.ingestPath(ingest.number);
    this.#pending.set(digest, (this.#pending.get(digest) ?? 0) + 1);
    try {
      if (ingest.expected === "" && !fs.existsSync(target)) {
        fs.chmodSync(source, 0o444);
        fs.mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
        fs.renameSync(source, target);
        await syncFolder(dirname(target));
      }
      const isNew = this.#db.transaction(() => {
        holdInScope(this.#db, scope, { type: "content", id: digest });
        store.deleteIngest(this.#db, scope.namespace, ingest.ref);
        const at = String(now());
        const blob = { digest, size, labels, created: at, updated: at };
        const isNew = store.insertContent(this.#db, scope.namespace, blob);
        const event = { digest, size: BigInt(size) };
        if (isNew)
          this.#db.afterCommit(() =>
            this.#events.emit(scope.namespace, "/content/create", eventTypes.ContentCreateSchema, event),
          );
        return isNew;
      });
      fs.rmSync(source, { force: true });
      if (!isNew) throw new BerthError("already_exists", `content ${digest}: already exists`);
    } finally {
      const left = this.#pending.get(digest)! - 1;
      if (left === 0) this.#pending.delete(digest);
      else this.#pending.set(digest, left);
    }
  }

  discard(scope: Scope, ref: string): void {
    this.#empty(scope.namespace, ref);
    this.#db.transaction(() => this.removeIngestRow(scope.namespace, ref));
  }

  release(scope: Scope, ref: string): void {
    this.#open.delete(`${scope.namespace}/${ref}`);
  }

  /** Part of a transaction: removes an ingest's row, and its file after the commit. */
  removeIngestRow(ns: string, ref: string): void {
    const found = store.findIngest(this.#db, ns, ref);
    if (found === undefined) return;
    store.deleteIngest(this.#db, ns, ref);
    this.#db.afterSync(() => fs.rmSync(this.ingestPath(found.number), { force: true }));
  }

  /** Aborts an ingest; "not_found" if there is none, "unavailable" while it is open. */
  abort(ns: string, ref: string): void {
    if (store.findIngest(this.#db, ns, ref) === undefined)
      throw new BerthError("not_found", `reference ${ref}: not found`);
    this.#empty(ns, ref);
    this.#db.transaction(() => this.removeIngestRow(ns, ref));
  }

  /** Truncates an ingest before its row is deleted: a full disk could not take the deletion otherwise. */
  #empty(ns: string, ref: string): void {
    const found = store.findIngest(this.#db, ns, ref);
    if (found !== undefined && fs.existsSync(this.ingestPath(found.number)))
      fs.truncateSync(this.ingestPath(found.number));
  }

  /** Ingests in progress, with their offsets. */
  statuses(ns: string): IngestStatus[] {
    return store.listIngests(this.#db, ns).map((ingest) => this.#status(ns, ingest));
  }

  /** An ingest in progress, or "not_found". */
  status(ns: string, ref: string): IngestStatus {
    const found = store.findIngest(this.#db, ns, ref);
    if (found === undefined) throw new BerthError("not_found", `reference ${ref}: not found`);
    return this.#status(ns, found);
  }

  #status(ns: string, ingest: store.IngestRecord): IngestStatus {
    const writer = this.#open.get(`${ns}/${ingest.ref}`)?.writer;
    const { size = 0n, mtimeNs } =
      fs.statSync(this.ingestPath(ingest.number), { throwIfNoEntry: false, bigint: true }) ?? {};
    // A file's time is of the kernel's clock, which ticks every few milliseconds.
    const updated = writer?.updated ?? mtimeNs ?? BigInt(ingest.started);
    return { ...ingest, offset: Number(size), updated };
  }

  /** Adds a blob to the call's lease; returns whether the namespace has it. */
  hold(scope: Scope, digest: string): boolean {
    return this.#db.transaction(() => {
      if (store.findContent(this.#db, scope.namespace, digest) === undefined) return false;
      holdInScope(this.#db, scope, { type: "content", id: digest });
      return true;
    });
  }

  /** Whether the collector must keep an ingest. */
  ingestInUse(ns: string, ref: string, started: bigint): boolean {
    return this.#open.has(`${ns}/${ref}`) || now() - started < INGEST_LIFE_NS;
  }

  /** Writes a small blob in one go; if it exists, its labels are merged. */
  put(scope: Scope, digest: string, data: Uint8Array, labels: Labels = {}): Promise<void> {
    const key = `${scope.namespace}/${digest}`;
    return this.#puts.run(key, () => this.#put(scope, digest, data, labels));
  }

  async #put(scope: Scope, digest: string, data: Uint8Array, labels: Labels): Promise<void> {
    try {
      const writer = await this.openWriter(scope, {
        ref: `put-${digest}`,
        expected: digest,
        total: data.length,
      });
      try {
        if (writer.offset > 0 && writer.ingest.expected === "") await writer.restart();
        if (writer.offset === 0) writer.write(data);
        await writer.commit(data.length, digest, labels);
      } finally {
        writer.close();
      }
    } catch (error) {
      if (!(error instanceof BerthError) || error.code !== "already_exists") throw error;
      if (Object.keys(labels).length > 0)
        this.updateLabels(scope.namespace, digest, (current) => ({ ...current, ...labels }));
    }
  }
}

/** Makes a rename durable. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await fs.promises.open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
