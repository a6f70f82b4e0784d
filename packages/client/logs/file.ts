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

/** Existing files of a log, oldest first: PATH.2, PATH.1, PATH. */
function logFiles(path: string): string[] {
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
  return [...numbers.map((number) => `${path}.${number}`), path];
}

/** Where the last `count` lines of a log begin: the file, and the byte position in it. */
export function tailPosition(path: string, count: number): { file: string; position: number } {
  let left = count;
  let start = { file: path, position: 0 };
  for (const file of logFiles(path).reverse()) {
    const found = tailOf(file, left);
    if (found === undefined) break;
    start = { file, position: found.position };
    left -= found.lines;
    if (left <= 0) break;
  }
  return start;
}

/** Byte position where the last `count` lines of a file begin (its end for 0), and the number of lines from there. */
function tailOf(path: string, count: number): { position: number; lines: number } | undefined {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch {
    // Renamed or removed meanwhile.
    return undefined;
  }
  try {
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
  } finally {
    closeSync(fd);
  }
}

/** Reads lines from a position on, across rotations; keeps an incomplete line for the next call. */
export class LineReader {
  readonly #path: string;
  #fd: number;
  #position: number;
  #inode: number;
  #rest = Buffer.alloc(0);

  /** Begins in `file`, which is `path` or one of its rotated files. */
  constructor(path: string, file = logFiles(path)[0]!, position = 0) {
    this.#path = path;
    this.#fd = openSync(file, "r");
    this.#inode = fstatSync(this.#fd).ino;
    this.#position = position;
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

  /**
   * Continues with the file after the open one, if there is one. Files may be renamed meanwhile: they are identified
   * by inode, and checked again after opening.
   */
  #openNext(): boolean {
    for (let tries = 0; tries < RENAMED_TRIES; tries++) {
      const files = this.#settledFiles();
      if (files === undefined) continue;
      const at = files.findIndex(({ ino }) => ino === this.#inode);
      if (at === files.length - 1 && at >= 0) return false;
      // If the open file is gone, it was older than all that are left.
      const next = files[at + 1];
      if (next === undefined) return false;
      let fd: number;
      try {
        fd = openSync(next.path, "r");
      } catch {
        continue;
      }
      if (fstatSync(fd).ino !== next.ino) {
        closeSync(fd);
        continue;
      }
      // The open file may have grown since it was read to its end.
      if (fstatSync(this.#fd).size > this.#position) {
        closeSync(fd);
        return true;
      }
      closeSync(this.#fd);
      this.#fd = fd;
      this.#inode = next.ino;
      this.#position = 0;
      return true;
    }
    return false;
  }

  /**
   * The log's files, oldest first; undefined while they are being renamed. Listing them takes several calls, so a list is
   * taken twice and must agree, and the open file must be in it unless it was removed.
   */
  #settledFiles(): { path: string; ino: number }[] | undefined {
    const look = () =>
      logFiles(this.#path).flatMap((path) => {
        const ino = statSync(path, { throwIfNoEntry: false })?.ino;
        return ino === undefined ? [] : [{ path, ino }];
      });
    const files = look();
    const again = look();
    const agrees =
      files.length === again.length &&
      files.every(({ path, ino }, i) => path === again[i]!.path && ino === again[i]!.ino);
    if (!agrees) return undefined;
    const present = files.some(({ ino }) => ino === this.#inode);
    return present || fstatSync(this.#fd).nlink === 0 ? files : undefined;
  }

  close(): void {
    closeSync(this.#fd);
  }
}
