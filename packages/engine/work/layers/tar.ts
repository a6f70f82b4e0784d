/**
 * A push parser for tar: ustar, pax and GNU long names, base-256 numbers.
 *
 * It calls a {@link TarSink} as bytes arrive and buffers no more than a header. Sparse files are refused: no image
 * builder creates them, and a misread hole would corrupt a file.
 */
import { BerthError } from "@berth/base";

/** Type of an entry: the tar type flag, with old variants folded in. */
export type TarType = "file" | "hardlink" | "symlink" | "char" | "block" | "directory" | "fifo";

/** One entry's header. */
export interface TarEntry {
  readonly name: string;
  readonly type: TarType;
  /** Permission bits with set-uid, set-gid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Size of the data that follows, in bytes. */
  readonly size: number;
  /** Nanoseconds since the epoch. */
  readonly mtime: bigint;
  readonly linkname: string;
  readonly major: number;
  readonly minor: number;
  /** Extended attributes (SCHILY.xattr.*), by name. */
  readonly xattrs: ReadonlyMap<string, Uint8Array> | undefined;
}

/** Receives the parsed entries: a header, its data in chunks, its end. */
export interface TarSink {
  entry(entry: TarEntry): void;
  data(chunk: Uint8Array): void;
  end(): void;
}

const BLOCK = 512;
/** Limit of one entry's pax header, in bytes; the same as in Go's archive/tar. */
const MAX_PAX = 1 << 20;
/** Limit of all global pax headers of an archive together, in bytes: tools write a comment, or nothing. */
const MAX_GLOBAL = 64 << 10;
/** Limit of a name, in bytes: the kernel's limit of a path. */
const MAX_NAME = 4096;
/** Memory overhead of a record beyond its bytes. */
const RECORD_OVERHEAD = 64;
const TYPES: Readonly<Record<string, TarType>> = {
  "0": "file",
  "\0": "file",
  "7": "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "char",
  "4": "block",
  "5": "directory",
  "6": "fifo",
};

function broken(why: string): BerthError {
  return new BerthError("invalid_argument", `not a valid tar archive: ${why}`, {
    stage: "tar",
    hint: "it is damaged or something else: make it again",
  });
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

function text(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw broken(`name ${JSON.stringify(Buffer.from(bytes).toString("latin1"))} is not UTF-8`);
  }
}

function cstring(block: Uint8Array, from: number, length: number): string {
  let end = from;
  while (end < from + length && block[end] !== 0) end++;
  for (let i = from; i < end; i++) if (block[i]! >= 0x80) return text(block.subarray(from, end));
  return Buffer.from(block.buffer, block.byteOffset + from, end - from).toString("latin1");
}

function checkName(what: string, name: string): void {
  const bytes = Buffer.byteLength(name);
  if (bytes > MAX_NAME)
    throw broken(
      `the ${what} of ${JSON.stringify(`${name.slice(0, 40)}...`)} has ${bytes} bytes, at most ${MAX_NAME} are possible`,
    );
}

function numberAt(block: Uint8Array, from: number, length: number): number {
  if (block[from]! & 0x80) {
    // GNU base-256: big endian, marked by the top bit.
    let value = block[from]! & 0x7f;
    if (value & 0x40) return 0; // negative: only broken archives have such sizes, and times before 1970
    for (let i = from + 1; i < from + length; i++) value = value * 256 + block[i]!;
    if (!Number.isSafeInteger(value)) throw broken("a number is too large");
    return value;
  }
  let value = 0;
  let digits = false;
  for (let i = from; i < from + length; i++) {
    const c = block[i]!;
    if (c >= 0x30 && c <= 0x37) {
      value = value * 8 + c - 0x30;
      digits = true;
    } else if (c === 0 || (c === 0x20 && digits)) break;
    else if (c !== 0x20) throw broken(`byte ${c} in a number`);
  }
  return value;
}

function paxTime(value: string): bigint {
  const match = /^(-?)(\d+)(?:\.(\d*))?$/.exec(value);
  if (match === null) throw broken(`time ${JSON.stringify(value)}`);
  const ns = BigInt(match[2]!) * 1_000_000_000n + BigInt((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  return match[1] === "-" ? -ns : ns;
}

function paxNumber(value: string): number {
  if (!/^\d+$/.test(value)) throw broken(`number ${JSON.stringify(value)} in a pax header`);
  return Number(value);
}

/** Push bytes with {@link push}, then call {@link finish}. */
export class TarParser {
  readonly #sink: TarSink;
  readonly #block = new Uint8Array(BLOCK);
  #filled = 0;
  /** Bytes left of the entry's data, then of its padding. */
  #left = 0;
  #padding = 0;
  /** Collects a pax header or a long name, instead of passing data to the sink. */
  #meta: { kind: string; bytes: Uint8Array; at: number } | undefined;
  /** Reused buffer for entries' headers, so that each does not leave a megabyte of garbage. */
  #scratch = new Uint8Array(4096);
  #global = new Map<string, Uint8Array>();
  #local: Map<string, Uint8Array> | undefined;
  #longName: string | undefined;
  #longLink: string | undefined;
  #zeros = 0;
  #ended = false;

  constructor(sink: TarSink) {
    this.#sink = sink;
  }

  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length && !this.#ended) {
      if (this.#left > 0) {
        const n = Math.min(this.#left, chunk.length - at);
        const piece = chunk.subarray(at, at + n);
        if (this.#meta === undefined) this.#sink.data(piece);
        else {
          this.#meta.bytes.set(piece, this.#meta.at);
          this.#meta.at += n;
        }
        this.#left -= n;
        at += n;
        if (this.#left === 0) this.#endData();
      } else if (this.#padding > 0) {
        const n = Math.min(this.#padding, chunk.length - at);
        this.#padding -= n;
        at += n;
      } else if (this.#filled === 0 && chunk.length - at >= BLOCK) {
        this.#header(chunk.subarray(at, at + BLOCK));
        at += BLOCK;
      } else {
        const n = Math.min(BLOCK - this.#filled, chunk.length - at);
        this.#block.set(chunk.subarray(at, at + n), this.#filled);
        this.#filled += n;
        at += n;
        if (this.#filled === BLOCK) {
          this.#filled = 0;
          this.#header(this.#block);
        }
      }
    }
  }

  /** Checks that the archive ended at the end of an entry. */
  finish(): void {
    if (this.#left > 0 || this.#filled > 0) throw broken("it ends in the middle of an entry");
  }

  #endData(): void {
    const meta = this.#meta;
    if (meta === undefined) {
      this.#sink.end();
      return;
    }
    this.#meta = undefined;
    if (meta.kind === "L") this.#longName = cstring(meta.bytes, 0, meta.bytes.length);
    else if (meta.kind === "K") this.#longLink = cstring(meta.bytes, 0, meta.bytes.length);
    else {
      const records = parsePax(meta.bytes);
      if (meta.kind === "x") this.#local = records;
      else this.#addGlobal(records);
    }
  }

  #addGlobal(records: ReadonlyMap<string, Uint8Array>): void {
    for (const [key, value] of records) this.#global.set(key, value);
    let size = 0;
    for (const [key, value] of this.#global) size += key.length + value.length + RECORD_OVERHEAD;
    if (size > MAX_GLOBAL) throw broken(`its global pax headers say more than ${MAX_GLOBAL} bytes together`);
  }

  #header(block: Uint8Array): void {
    let sum = 0;
    for (let i = 0; i < BLOCK; i++) sum += block[i]!;
    if (sum === 0) {
      // Two zero blocks end the archive; the rest is padding.
      if (++this.#zeros === 2) this.#ended = true;
      return;
    }
    this.#zeros = 0;
    for (let i = 148; i < 156; i++) sum += 0x20 - block[i]!;
    if (sum !== numberAt(block, 148, 8)) throw broken("a header's checksum does not match");
    const flag = String.fromCharCode(block[156]!);
    const size = numberAt(block, 124, 12);
    if (flag === "x" || flag === "g" || flag === "L" || flag === "K") {
      // A long name includes its terminating zero.
      const most = flag === "x" ? MAX_PAX : flag === "g" ? MAX_GLOBAL : MAX_NAME + 1;
      if (size > most) throw broken(`a header of type ${flag} has ${size} bytes, at most ${most} are taken`);
      if (size > this.#scratch.length)
        this.#scratch = new Uint8Array(Math.max(size, 2 * this.#scratch.length));
      this.#meta = { kind: flag, bytes: this.#scratch.subarray(0, size), at: 0 };
      this.#expect(size);
      if (size === 0) this.#endData();
      return;
    }
    this.#entry(block, flag, size);
  }

  #expect(size: number): void {
    this.#left = size;
    this.#padding = (BLOCK - (size % BLOCK)) % BLOCK;
  }

  #entry(block: Uint8Array, flag: string, headerSize: number): void {
    const local = this.#local;
    const pax = (key: string) => local?.get(key) ?? this.#global.get(key);
    const paxText = (key: string) => {
      const value = pax(key);
      return value === undefined || value.length === 0 ? undefined : text(value);
    };
    let name = this.#longName ?? paxText("path");
    if (name === undefined) {
      name = cstring(block, 0, 100);
      const isUstar = block[257] === 0x75 && block[258] === 0x73 && block[262] === 0; // "us", and not GNU
      const prefix = isUstar ? cstring(block, 345, 155) : "";
      if (prefix !== "") name = `${prefix}/${name}`;
    }
    const linkname = this.#longLink ?? paxText("linkpath") ?? cstring(block, 157, 100);
    checkName("name", name);
    checkName("link", linkname);
    let type = TYPES[flag];
    if (flag === "S" || pax("GNU.sparse.major") !== undefined || pax("GNU.sparse.map") !== undefined)
      throw broken(`${JSON.stringify(name)} is a sparse file, which is not supported`);
    if (type === undefined)
      throw broken(`${JSON.stringify(name)} has type ${JSON.stringify(flag)}, which is not supported`);
    // Before POSIX a folder was a file whose name ends with a slash.
    if (flag !== "5" && type === "file" && name.endsWith("/")) type = "directory";
    const paxSize = paxText("size");
    const mtime = paxText("mtime");
    const uid = paxText("uid");
    const gid = paxText("gid");
    const declared = paxSize === undefined ? headerSize : paxNumber(paxSize);
    const size = type === "file" ? declared : 0;
    let xattrs: Map<string, Uint8Array> | undefined;
    for (const source of [this.#global, local])
      for (const [key, value] of source ?? [])
        if (key.startsWith("SCHILY.xattr.")) {
          xattrs ??= new Map();
          xattrs.set(key.slice(13), value);
        }
    this.#local = undefined;
    this.#longName = undefined;
    this.#longLink = undefined;
    this.#sink.entry({
      name,
      type,
      mode: numberAt(block, 100, 8) & 0o7777,
      uid: uid === undefined ? numberAt(block, 108, 8) : paxNumber(uid),
      gid: gid === undefined ? numberAt(block, 116, 8) : paxNumber(gid),
      size,
      mtime: mtime === undefined ? BigInt(numberAt(block, 136, 12)) * 1_000_000_000n : paxTime(mtime),
      linkname,
      major: type === "char" || type === "block" ? numberAt(block, 329, 8) : 0,
      minor: type === "char" || type === "block" ? numberAt(block, 337, 8) : 0,
      xattrs,
    });
    if (size > 0) this.#expect(size);
    else this.#sink.end();
  }
}

/** Records "<length> <key>=<value>\n". */
function parsePax(bytes: Uint8Array): Map<string, Uint8Array> {
  const out = new Map<string, Uint8Array>();
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const length = space < 0 ? Number.NaN : Number(Buffer.from(bytes.subarray(at, space)).toString("latin1"));
    const end = at + length;
    if (!Number.isInteger(length) || length < 5 || end > bytes.length || bytes[end - 1] !== 0x0a) {
      // Some writers pad the block with zeros.
      if (bytes[at] === 0) break;
      throw broken("a pax header is damaged");
    }
    const equals = bytes.indexOf(0x3d, space);
    if (equals < 0 || equals >= end) throw broken("a pax record has no =");
    out.set(text(bytes.subarray(space + 1, equals)), bytes.slice(equals + 1, end - 1));
    at = end;
  }
  return out;
}
