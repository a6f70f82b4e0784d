/**
 * A part of the event log: a file to which events are appended.
 *
 * A record is the event's length (4 bytes, little endian), its number (8 bytes) and the envelope. What a crash cut off
 * at the end is taken away when the file is opened. The file need not survive a power cut, so nothing is synced.
 */
import * as fs from "node:fs";
import { join } from "node:path";

/** An event as it is kept: its number and its envelope, encoded. */
export interface Kept {
  readonly sequence: number;
  readonly bytes: Uint8Array;
}

const HEAD = 12;
const SUFFIX = ".events";
/** Every so many records the index has an entry. */
const INDEX_STEP = 64;
/** Reading takes this many bytes at a time, or one record if that is larger. */
const CHUNK = 64 << 10;

/** Events with numbers in a row, in one file. */
export class Segment {
  readonly first: number;
  readonly #path: string;
  readonly #fd: number;
  /** Where records begin: one entry for every {@link INDEX_STEP} of them. */
  readonly #index: number[] = [];
  #count = 0;
  #size = 0;

  private constructor(path: string, first: number, flags: string) {
    this.#path = path;
    this.first = first;
    this.#fd = fs.openSync(path, flags, 0o600);
  }

  /** Begins a file, whose first event will be `first`. */
  static create(folder: string, first: number): Segment {
    return new Segment(join(folder, `${first}${SUFFIX}`), first, "w+");
  }

  /** Opens what `name` in `folder` holds; undefined when it is not a part of a log, or has no event. */
  static open(folder: string, name: string): Segment | undefined {
    if (!name.endsWith(SUFFIX)) return undefined;
    const first = Number(name.slice(0, -SUFFIX.length));
    if (!Number.isSafeInteger(first) || first < 1) return undefined;
    const segment = new Segment(join(folder, name), first, "r+");
    segment.#scan();
    if (segment.#count > 0) return segment;
    segment.remove();
    return undefined;
  }

  #scan(): void {
    const all = fs.readFileSync(this.#path);
    const records = [...recordsOf(all, this.first, Number.POSITIVE_INFINITY)];
    for (const record of records) this.#note(record);
    if (this.#size < all.length) fs.ftruncateSync(this.#fd, this.#size);
  }

  #note({ bytes }: Kept): void {
    if (this.#count % INDEX_STEP === 0) this.#index.push(this.#size);
    this.#count++;
    this.#size += HEAD + bytes.length;
  }

  /** Number of the last event; one less than `first` when there is none. */
  get last(): number {
    return this.first + this.#count - 1;
  }
  /** Bytes of the file. */
  get size(): number {
    return this.#size;
  }

  /** Appends events whose numbers follow the last one. Throws when not all could be written. */
  append(events: readonly Kept[]): void {
    const parts: Uint8Array[] = [];
    for (const { sequence, bytes } of events) {
      const head = Buffer.allocUnsafe(HEAD);
      head.writeUInt32LE(bytes.length, 0);
      head.writeBigUInt64LE(BigInt(sequence), 4);
      parts.push(head, bytes);
    }
    const data = Buffer.concat(parts);
    for (let done = 0; done < data.length; )
      done += fs.writeSync(this.#fd, data, done, data.length - done, this.#size + done);
    for (const event of events) this.#note(event);
  }

  /** Events after number `after`, some of them: at least one when there is one. */
  read(after: number): Kept[] {
    const wanted = Math.max(after + 1, this.first);
    if (wanted > this.last) return [];
    const entry = Math.floor((wanted - this.first) / INDEX_STEP);
    const from = this.first + entry * INDEX_STEP;
    const at = this.#index[entry]!;
    // The records up to the wanted one are between two entries of the index, however long they are.
    const end = Math.max(at + CHUNK, this.#index[entry + 1] ?? this.#size);
    const data = Buffer.allocUnsafe(Math.min(end, this.#size) - at);
    const got = fs.readSync(this.#fd, data, 0, data.length, at);
    return [...recordsOf(data.subarray(0, got), from, this.last)].filter(({ sequence }) => sequence > after);
  }

  close(): void {
    fs.closeSync(this.#fd);
  }

  /** Closes it and removes the file. */
  remove(): void {
    this.close();
    fs.rmSync(this.#path, { force: true });
  }
}

/** The whole records at the begin of `data`, as long as their numbers are those expected. */
function* recordsOf(data: Buffer, first: number, last: number): Generator<Kept> {
  let at = 0;
  for (let sequence = first; sequence <= last && at + HEAD <= data.length; sequence++) {
    const end = at + HEAD + data.readUInt32LE(at);
    if (end > data.length || Number(data.readBigUInt64LE(at + 4)) !== sequence) return;
    yield { sequence, bytes: data.subarray(at + HEAD, end) };
    at = end;
  }
}
