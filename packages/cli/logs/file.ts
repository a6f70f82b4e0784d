/** Reads a log file: from its end backwards for --tail, forwards from a position, and on as it grows. */
import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";

const CHUNK = 64 * 1024;
const LF = 10;

/** Byte position where the last `count` lines of a file begin; its end for 0. */
export function tailPosition(path: string, count: number): number {
  const fd = openSync(path, "r");
  try {
    const size = fstatSync(fd).size;
    if (count <= 0) return size;
    const buffer = Buffer.alloc(CHUNK);
    let lines = 0;
    for (let end = size; end > 0; ) {
      const start = Math.max(0, end - CHUNK);
      const length = readSync(fd, buffer, 0, end - start, start);
      for (let i = length - 1; i >= 0; i--) {
        // The line feed at the file's end closes the last line, it does not begin another.
        if (buffer[i] !== LF || start + i === size - 1) continue;
        if (++lines === count) return start + i + 1;
      }
      end = start;
    }
    return 0;
  } finally {
    closeSync(fd);
  }
}

/** Reads lines from a position on; keeps what is not a whole line yet for the next call. */
export class LineReader {
  readonly #path: string;
  #fd: number;
  #position: number;
  #inode: number;
  #rest = Buffer.alloc(0);

  constructor(path: string, position = 0) {
    this.#path = path;
    this.#fd = openSync(path, "r");
    this.#inode = fstatSync(this.#fd).ino;
    this.#position = position;
  }

  /** Whole lines that are there now, one chunk of the file at a time. */
  *read(): Generator<string> {
    for (;;) {
      yield* this.#readOpen();
      if (!this.#reopenIfRotated()) return;
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

  // After a rotation the path is another file, which begins at 0.
  #reopenIfRotated(): boolean {
    try {
      const { ino } = statSync(this.#path);
      if (ino === this.#inode) return false;
      const fd = openSync(this.#path, "r");
      closeSync(this.#fd);
      this.#fd = fd;
      this.#inode = ino;
      this.#position = 0;
      return true;
    } catch {
      return false;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}
