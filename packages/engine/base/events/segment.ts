/**
 * A segment of the event log: an append-only file.
 *
 * A record is the event's length (4 bytes, little endian), its number (8 bytes) and the envelope. A record truncated
 * by a crash is removed when the file is opened. The file need not survive a power loss, so nothing is synced.
 */
import * as fs from "node:fs";
import { join } from "node:path";

/** A stored event: its number and its encoded envelope. */
export interface StoredEvent {
  readonly sequence: number;
  readonly bytes: Uint8Array;
}

const HEAD = 12;
const SUFFIX = ".events";
/** The index has an entry for every this many records. */
const INDEX_STEP = 64;
/** Bytes per read, or one record if that is larger. */
const CHUNK = 64 << 10;

/** Consecutively numbered events in one file. */
export class Segment {
  readonly first: number;
  readonly #path: string;
  readonly #fd: number;
  /** Offsets of records: one entry for every {@link INDEX_STEP} of them. */
  readonly #index: number[] = [];
  #count = 0;
  #size = 0;

  private constructor(path: string, first: number, flags: string) {
    this.#path = path;
    this.first = first;
    this.#fd = fs.openSync(path, flags, 0o600);
  }

  /** Creates a file whose first event will be `first`. */
  static create(folder: string, first: number): Segment {
    return new Segment(join(folder, `${first}${SUFFIX}`), first, "w+");
  }

  /** Opens the file `name` in `folder`; undefined if it is not a segment, or has no event. */
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

  #note({ bytes }: StoredEvent): void {
    if (this.#count % INDEX_STEP === 0) this.#index.push(this.#size);
    this.#count++;
    this.#size += HEAD + bytes.length;
  }

  /** Number of the last event; `first` - 1 if there is none. */
  get last(): number {
    return this.first + this.#count - 1;
  }
  /** Size of the file in bytes. */
  get size(): number {
    return this.#size;
  }

  /** Appends events whose numbers follow the last one. Throws if not all could be written. */
  append(events: readonly StoredEvent[]): void {
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

  /** A batch of events after number `after`, at least one if there is one. */
  read(after: number): StoredEvent[] {
    const wanted = Math.max(after + 1, this.first);
    if (wanted > this.last) return [];
    const entry = Math.floor((wanted - this.first) / INDEX_STEP);
    const from = this.first + entry * INDEX_STEP;
    const at = this.#index[entry]!;
    // The records up to the wanted one are between two index entries, however long they are.
    const end = Math.max(at + CHUNK, this.#index[entry + 1] ?? this.#size);
    const data = Buffer.allocUnsafe(Math.min(end, this.#size) - at);
    const got = fs.readSync(this.#fd, data, 0, data.length, at);
    return [...recordsOf(data.subarray(0, got), from, this.last)].filter(({ sequence }) => sequence > after);
  }

  close(): void {
    fs.closeSync(this.#fd);
  }

  /** Closes and removes the file. */
  remove(): void {
    this.close();
    fs.rmSync(this.#path, { force: true });
  }
}

/** The complete records at the start of `data`, as long as their numbers are the expected ones. */
function* recordsOf(data: Buffer, first: number, last: number): Generator<StoredEvent> {
  let at = 0;
  for (let sequence = first; sequence <= last && at + HEAD <= data.length; sequence++) {
    const end = at + HEAD + data.readUInt32LE(at);
    if (end > data.length || Number(data.readBigUInt64LE(at + 4)) !== sequence) return;
    yield { sequence, bytes: data.subarray(at + HEAD, end) };
    at = end;
  }
}
