/**
 * Reads a log including rotated files: backwards from its end for --tail, forwards from a position, and following as
 * it grows.
 */
import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";

const CHUNK = 64 * 1024;
const LF = 10;
/** Attempts at finding the next file of a log that is being rotated; after that, the next read tries again. */
const RENAMED_TRIES = 100;

/** A file of a log. Rotation renames it, so it is identified by inode. */
interface LogFile {
  path: string;
  ino: number;
}

/** The files of a log at this moment, oldest first: PATH.2, PATH.1, PATH. */
function list(path: string): LogFile[] {
  const prefix = `${basename(path)}.`;
  let names: string[] = [];
  try {
    names = readdirSync(dirname(path));
  } catch {
    // Without a folder there is no log either.
  }
  const numbers = names
    .flatMap((name) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : []))
    .filter((end) => /^[1-9]\d{0,3}$/.test(end))
    .map(Number)
    .sort((one, other) => other - one);
  return [...numbers.map((number) => `${path}.${number}`), path].flatMap((each) => {
    const ino = statSync(each, { throwIfNoEntry: false })?.ino;
    return ino === undefined ? [] : [{ path: each, ino }];
  });
}

/**
 * The files of a log, oldest first; undefined while they are being renamed. Listing them takes several calls, so a list is
 * taken twice and must agree.
 */
function settled(path: string): LogFile[] | undefined {
  const files = list(path);
  const again = list(path);
  const agrees =
    files.length === again.length &&
    files.every((file, i) => file.path === again[i]!.path && file.ino === again[i]!.ino);
  return agrees ? files : undefined;
}

/** Opens the file that `choose` picks; undefined if it picks none, or if the files never settle. */
function openSettled(
  path: string,
  choose: (files: readonly LogFile[]) => LogFile | undefined | "again",
): { fd: number; ino: number } | undefined {
  for (let tries = 0; tries < RENAMED_TRIES; tries++) {
    const files = settled(path);
    const chosen = files === undefined ? "again" : choose(files);
    if (chosen === "again") continue;
    if (chosen === undefined) return undefined;
    let fd: number;
    try {
      fd = openSync(chosen.path, "r");
    } catch {
      continue;
    }
    if (fstatSync(fd).ino === chosen.ino) return { fd, ino: chosen.ino };
    closeSync(fd);
  }
  return undefined;
}

/** A place in a log: a file, and the byte position in it. */
export interface LogPosition {
  ino: number;
  position: number;
}

/** Where the last `count` lines of a log begin; undefined if there is no log. */
export function tailPosition(path: string, count: number): LogPosition | undefined {
  let left = count;
  let start: LogPosition | undefined;
  for (;;) {
    // The file before the last one that was looked at.
    const opened = openSettled(path, (files) => {
      const at = start === undefined ? files.length : files.findIndex(({ ino }) => ino === start!.ino);
      return files[at - 1];
    });
    if (opened === undefined) return start;
    try {
      const found = tailOf(opened.fd, left);
      start = { ino: opened.ino, position: found.position };
      left -= found.lines;
    } finally {
      closeSync(opened.fd);
    }
    if (left <= 0) return start;
  }
}

/** Byte position where the last `count` lines of a file begin (its end for 0), and the number of lines from there. */
function tailOf(fd: number, count: number): { position: number; lines: number } {
  const size = fstatSync(fd).size;
  if (count <= 0) return { position: size, lines: 0 };
  const buffer = Buffer.alloc(CHUNK);
  let lines = 0;
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - CHUNK);
    const length = readSync(fd, buffer, 0, end - start, start);
    for (let i = length - 1; i >= 0; i--) {
      // The newline at the end of the file ends the last line; it does not begin another.
      if (buffer[i] !== LF || start + i === size - 1) continue;
      if (++lines === count) return { position: start + i + 1, lines };
    }
    end = start;
  }
  return { position: 0, lines: size > 0 ? lines + 1 : 0 };
}

/** Reads lines from a position on, across rotations; keeps an incomplete line for the next call. */
export class LineReader {
  readonly #path: string;
  #fd: number;
  #position: number;
  #inode: number;
  #rest = Buffer.alloc(0);

  /** Begins at `start`, or with the oldest file. Throws ENOENT if there is no log. */
  constructor(path: string, start?: LogPosition) {
    this.#path = path;
    // A file that is gone was older than all that are left.
    const opened = openSettled(path, (files) => files.find(({ ino }) => ino === start?.ino) ?? files[0]);
    this.#fd = opened?.fd ?? openSync(path, "r");
    this.#inode = opened?.ino ?? fstatSync(this.#fd).ino;
    this.#position = start?.ino === this.#inode ? start.position : 0;
  }

  /** Complete lines available now, one chunk of a file at a time. */
  *read(): Generator<string> {
    for (;;) {
      yield* this.#readOpen();
      if (!this.#openNext()) return;
    }
  }

  *#readOpen(): Generator<string> {
    const buffer = Buffer.alloc(CHUNK);
    for (;;) {
      const size = readSync(this.#fd, buffer, 0, CHUNK, this.#position);
      if (size === 0) return;
      this.#position += size;
      let data = Buffer.concat([this.#rest, buffer.subarray(0, size)]);
      for (let end = data.indexOf(LF); end >= 0; end = data.indexOf(LF)) {
        yield data.toString("utf8", 0, end);
        data = data.subarray(end + 1);
      }
      this.#rest = Buffer.from(data);
    }
  }

  /** Continues with the file after the open one, if there is one. */
  #openNext(): boolean {
    const opened = openSettled(this.#path, (files) => {
      const at = files.findIndex(({ ino }) => ino === this.#inode);
      // It was not removed, so it is being renamed.
      if (at < 0 && fstatSync(this.#fd).nlink > 0) return "again";
      // If the open file is gone, it was older than all that are left.
      return files[at + 1];
    });
    if (opened === undefined) return false;
    // The open file may have grown since it was read to its end.
    if (fstatSync(this.#fd).size > this.#position) {
      closeSync(opened.fd);
      return true;
    }
    closeSync(this.#fd);
    this.#fd = opened.fd;
    this.#inode = opened.ino;
    this.#position = 0;
    return true;
  }

  close(): void {
    closeSync(this.#fd);
  }
}
