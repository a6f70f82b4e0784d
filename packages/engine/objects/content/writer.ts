/**
 * One ingest that is to become a blob.
 *
 * The bytes go to `ingest/<number>`; commit checks size and digest, syncs the file, moves it to its place and adds
 * the row. An interrupted ingest resumes at the end of its file.
 */
import { createHash, type Hash } from "node:crypto";
import * as fs from "node:fs";
import { promisify } from "node:util";
import { BerthError, present } from "@berth/base";
import type { Labels } from "../../base/core/names.ts";
import type { Scope } from "../../base/core/scope.ts";
import { now } from "../../base/core/time.ts";
import type { IngestRecord } from "./rows.ts";

const fsync = promisify(fs.fsync);
const read = promisify(fs.read);
const REHASH_CHUNK = 1 << 20;

/** The store's operations for a writer. */
export interface WriterHost {
  ingestPath(number: number): string;
  /** Turns the synced file into the blob `digest`; "already_exists" if the namespace has it. */
  adopt(scope: Scope, ingest: IngestRecord, digest: string, size: number, labels: Labels): Promise<void>;
  /** Removes the ingest with its file. */
  discard(scope: Scope, ref: string): void;
  /** Releases the ref. */
  release(scope: Scope, ref: string): void;
}

/** An open ingest; always close it. */
export class ContentWriter {
  readonly ingest: IngestRecord;
  readonly #host: WriterHost;
  readonly #scope: Scope;
  #fd: number | undefined;
  #hash: Hash;
  #offset = 0;
  #updated = now();
  #closed = false;

  private constructor(host: WriterHost, scope: Scope, ingest: IngestRecord) {
    this.#host = host;
    this.#scope = scope;
    this.ingest = ingest;
    this.#hash = createHash("sha256");
  }

  /** Opens the file and hashes its existing content. */
  static async open(host: WriterHost, scope: Scope, ingest: IngestRecord): Promise<ContentWriter> {
    const writer = new ContentWriter(host, scope, ingest);
    if (ingest.expected !== "") {
      // Another namespace has this blob: nothing needs to be written.
      writer.#offset = ingest.total;
      return writer;
    }
    await writer.#open();
    return writer;
  }

  async #open(): Promise<void> {
    const fd = fs.openSync(
      this.#host.ingestPath(this.ingest.number),
      fs.constants.O_RDWR | fs.constants.O_CREAT,
      0o600,
    );
    this.#fd = fd;
    const stat = fs.fstatSync(fd, { bigint: true });
    const size = Number(stat.size);
    if (size > 0) this.#updated = stat.mtimeNs;
    const chunk = Buffer.allocUnsafe(Math.min(REHASH_CHUNK, size));
    while (this.#offset < size) {
      const { bytesRead } = await read(fd, chunk, 0, chunk.length, this.#offset);
      if (bytesRead === 0) break;
      this.#hash.update(chunk.subarray(0, bytesRead));
      this.#offset += bytesRead;
    }
  }

  /** Bytes written so far. */
  get offset(): number {
    return this.#offset;
  }
  /** When the last byte was written, in nanoseconds since the epoch. */
  get updated(): bigint {
    return this.#updated;
  }
  /** Digest of the bytes written so far. */
  get digest(): string {
    if (this.#fd === undefined && this.ingest.expected !== "") return this.ingest.expected;
    return `sha256:${this.#hash.copy().digest("hex")}`;
  }

  /** Appends data. */
  write(data: Uint8Array): void {
    if (this.#closed)
      throw new BerthError("failed_precondition", "cannot write on closed writer: failed precondition");
    if (data.length === 0) return;
    if (this.#fd === undefined)
      throw new BerthError(
        "failed_precondition",
        `write to ${this.ingest.ref}: its content is already there: failed precondition`,
      );
    try {
      for (let at = 0; at < data.length; )
        at += fs.writeSync(this.#fd, data, at, data.length - at, this.#offset + at);
    } catch (cause) {
      const error = BerthError.from(cause, "content");
      throw new BerthError(error.code, `cannot write ${this.ingest.ref}: ${error.message}`, {
        stage: "content",
        cause,
        path: this.#host.ingestPath(this.ingest.number),
        ...present({ errno: error.errno }),
        ...(error.errno === "ENOSPC" ? { hint: "make room on the file system of the root directory" } : {}),
      });
    }
    this.#hash.update(data);
    this.#offset += data.length;
    this.#updated = now();
  }

  /** Truncates to zero: no other truncation is supported. */
  async restart(): Promise<void> {
    if (this.#fd === undefined && this.ingest.expected !== "") {
      // The client insists on sending the data.
      this.ingest.expected = "";
      this.#offset = 0;
      await this.#open();
    }
    if (this.#fd !== undefined) fs.ftruncateSync(this.#fd, 0);
    this.#hash = createHash("sha256");
    this.#offset = 0;
  }

  /**
   * Verifies and publishes; returns the blob's digest. `size` 0 and `expected` "" skip their check. By default an ingest
   * with a wrong digest is discarded, as resuming it could never succeed; with "keep" that is left to the client.
   */
  async commit(
    size: number,
    expected: string,
    labels: Labels,
    onMismatch: "discard" | "keep" = "discard",
  ): Promise<string> {
    if (this.#closed)
      throw new BerthError("failed_precondition", "cannot commit on closed writer: failed precondition");
    const digest = await this.#digestAs(expected);
    const mismatch =
      size > 0 && size !== this.#offset
        ? `unexpected commit size ${this.#offset}, expected ${size}`
        : expected !== "" && expected !== digest
          ? `unexpected commit digest ${digest}, expected ${expected}`
          : undefined;
    if (mismatch !== undefined) {
      this.close();
      // A short ingest may be resumed.
      const isWrong = expected !== "" && expected !== digest && (size === 0 || this.#offset >= size);
      if (isWrong && onMismatch === "discard") this.#host.discard(this.#scope, this.ingest.ref);
      throw new BerthError("failed_precondition", `${mismatch}: failed precondition`, {
        stage: "content",
        hint: "the content was damaged on its way or is not what its name says; fetch it again",
      });
    }
    if (this.#fd !== undefined) await fsync(this.#fd);
    this.#closeFd();
    try {
      await this.#host.adopt(this.#scope, this.ingest, digest, this.#offset, labels);
    } finally {
      this.close();
    }
    return digest;
  }

  /** The digest by the algorithm of `expected`: only SHA-256 is computed during the write. */
  async #digestAs(expected: string): Promise<string> {
    const [algorithm] = expected.split(":") as [string];
    if (this.#fd === undefined || algorithm === "" || algorithm === "sha256") return this.digest;
    const hash = createHash(algorithm);
    const file = fs.createReadStream("", { fd: this.#fd, start: 0, autoClose: false });
    for await (const chunk of file) hash.update(chunk);
    return `${algorithm}:${hash.digest("hex")}`;
  }

  /** Gives the file the time of its last write: the kernel's own clock for files is some milliseconds behind. */
  #keepTime(): void {
    if (this.#fd === undefined) return;
    const seconds = Math.ceil(Number(this.#updated / 1000n) + 1) / 1e6;
    fs.futimesSync(this.#fd, seconds, seconds);
  }

  #closeFd(): void {
    if (this.#fd !== undefined) fs.closeSync(this.#fd);
    this.#fd = undefined;
  }

  /** Closes the file; its bytes stay for the next writer of the same ref. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#keepTime();
    this.#closeFd();
    this.#host.release(this.#scope, this.ingest.ref);
  }
}
