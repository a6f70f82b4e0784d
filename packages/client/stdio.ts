/**
 * The client's end of a process's streams: FIFOs in a directory of their own.
 *
 * A FIFO is held open for reading and writing as long as the process may run, so that nobody blocks in open(2) and
 * no early end of file is seen. Reads go through `node:fs`, which works the same on Node and Bun
 * (Bun's net.Socket hangs on FIFOs). They block threads of the engine's pool, of which Bun has as few as two: so
 * writes, which would wait for a third, are made without blocking.
 */
import { execFile } from "node:child_process";
import { closeSync, constants, openSync, read, rmSync, writeSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BerthError } from "@berth/base";

/** Which FIFOs to make. */
export interface FifoWishes {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
}

const READ_BYTES = 64 * 1024;

/** FIFOs for one process; see the module comment. Dispose of them when the process is done. */
export class Fifos implements AsyncDisposable {
  readonly folder: string;
  /** Paths for the daemon; "" where no FIFO was wanted. */
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly #held = new Map<string, number>();
  readonly #open = new Set<number>();
  readonly #reading = new Set<string>();
  #closed = false;

  private constructor(folder: string, wishes: FifoWishes) {
    this.folder = folder;
    this.stdin = wishes.stdin ? join(folder, "stdin") : "";
    this.stdout = wishes.stdout ? join(folder, "stdout") : "";
    this.stderr = wishes.stderr ? join(folder, "stderr") : "";
  }

  /** Makes the FIFOs, mode 0600, in a new directory below `parent` (default: the system's for temporary files). */
  static async create(wishes: FifoWishes, parent = tmpdir()): Promise<Fifos> {
    const fifos = new Fifos(await mkdtemp(join(parent, "berth-io-")), wishes);
    try {
      const paths = [fifos.stdin, fifos.stdout, fifos.stderr].filter((path) => path !== "");
      if (paths.length > 0) await makeFifos(paths);
      for (const path of paths) fifos.#hold(path);
      return fifos;
    } catch (error) {
      fifos.close();
      throw error;
    }
  }

  #hold(path: string): void {
    this.#held.set(path, this.#opened(path, constants.O_RDWR | constants.O_NONBLOCK));
  }

  #opened(path: string, flags: number): number {
    const fd = openSync(path, flags);
    this.#open.add(fd);
    return fd;
  }

  #shut(fd: number): void {
    if (this.#open.delete(fd)) closeSync(fd);
  }

  /**
   * Yields what the process writes to a FIFO (of `stdout` or `stderr`) until it is closed, which is not seen
   * before {@link release}. Begin before the daemon is told of the FIFO.
   */
  read(path: string): AsyncGenerator<Uint8Array> {
    // Opened at once, not at the first read: a later open could block, as the held end may be gone by then.
    return this.#pump(path, this.#opened(path, constants.O_RDONLY));
  }

  async *#pump(path: string, fd: number): AsyncGenerator<Uint8Array> {
    this.#reading.add(path);
    try {
      for (;;) {
        const buffer = Buffer.allocUnsafe(READ_BYTES);
        const size = await readSome(fd, buffer);
        if (size === 0 || this.#closed) return;
        yield buffer.subarray(0, size);
      }
    } finally {
      this.#reading.delete(path);
      this.#shut(fd);
    }
  }

  /** Writes to the process's stdin; ending it lets go of the held end, too. */
  writer(): { write(chunk: Uint8Array): Promise<void>; end(): void } {
    const fd = this.#opened(this.stdin, constants.O_WRONLY | constants.O_NONBLOCK);
    return {
      write: async (chunk) => {
        let pause = 1;
        for (let at = 0; at < chunk.length; ) {
          if (!this.#open.has(fd)) throw new BerthError("canceled", "standard input was closed");
          const size = writeNow(fd, chunk, at);
          at += size;
          // A full pipe means a slow reader: look again, ever less often.
          pause = size > 0 ? 1 : Math.min(pause * 2, 50);
          if (size === 0) await new Promise((resolve) => setTimeout(resolve, pause));
        }
      },
      end: () => {
        this.#shut(fd);
        this.#letGo(this.stdin);
      },
    };
  }

  #letGo(path: string): void {
    const fd = this.#held.get(path);
    if (fd === undefined) return;
    this.#held.delete(path);
    this.#shut(fd);
  }

  /**
   * Lets go of the held ends of output. Once the process has ended: then reads get what is left, and their end.
   * Earlier, the daemon might not have opened its own end yet.
   */
  release(): void {
    this.#letGo(this.stdout);
    this.#letGo(this.stderr);
  }

  /** Removes the FIFOs; reads in flight end. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // A read that blocks in a thread cannot be taken back, and the process may hold its end for long (the user
    // has detached): a byte of our own wakes it.
    for (const path of this.#reading)
      try {
        if (!this.#held.has(path)) this.#hold(path);
        writeSync(this.#held.get(path)!, "\0");
      } catch {
        // Full, so the read is about to return; or removed, so nobody reads.
      }
    this.release();
    this.#letGo(this.stdin);
    rmSync(this.folder, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

function makeFifos(paths: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile("mkfifo", ["-m", "600", ...paths], { timeout: 10_000 }, (error, _stdout, stderr) => {
      if (!error) resolve();
      else
        reject(
          new BerthError("internal", `cannot make FIFOs: ${stderr.trim() || error.message}`, {
            stage: "stdio",
            path: paths[0]!,
            cause: error,
            hint: "Check that the program mkfifo is installed and the folder can be written to.",
          }),
        );
    });
  });
}

function readSome(fd: number, buffer: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, buffer, 0, buffer.length, null, (error, size) =>
      error ? reject(BerthError.from(error)) : resolve(size),
    );
  });
}

function writeNow(fd: number, chunk: Uint8Array, at: number): number {
  try {
    return writeSync(fd, chunk, at, chunk.length - at);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return 0;
    throw BerthError.from(error);
  }
}
