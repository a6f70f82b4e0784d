/**
 * The client's end of a process's streams: FIFOs in a temporary directory.
 *
 * A FIFO is held open for reading and writing while the process may run, so that open(2) never blocks and no
 * premature end of file is seen. Reads go through `node:fs`, which works the same on Node and Bun (Bun's net.Socket
 * hangs on FIFOs). They block threads of the engine's pool, of which Bun has as few as two; writes, which would need
 * a third, are therefore non-blocking.
 */
import { execFile } from "node:child_process";
import { closeSync, constants, openSync, read, rmSync, writeSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BerthError } from "@berth/base";

/** Which FIFOs to create. */
export interface FifoOptions {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
}

const READ_BYTES = 64 * 1024;

/** FIFOs for one process. Dispose of them when the process has exited. */
export class Fifos implements AsyncDisposable {
  readonly folder: string;
  /** Paths for the daemon; "" for a FIFO that was not requested. */
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly #held = new Map<string, number>();
  readonly #open = new Set<number>();
  readonly #reading = new Set<string>();
  #closed = false;

  private constructor(folder: string, options: FifoOptions) {
    this.folder = folder;
    this.stdin = options.stdin ? join(folder, "stdin") : "";
    this.stdout = options.stdout ? join(folder, "stdout") : "";
    this.stderr = options.stderr ? join(folder, "stderr") : "";
  }

  /** Creates the FIFOs, mode 0600, in a new directory below `parent` (default: the system's temporary directory). */
  static async create(options: FifoOptions, parent = tmpdir()): Promise<Fifos> {
    const fifos = new Fifos(await mkdtemp(join(parent, "berth-io-")), options);
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
   * Yields what the process writes to a FIFO (of `stdout` or `stderr`) until it is closed, which is not seen before
   * {@link release}. Call it before the daemon gets the FIFO's path.
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

  /** Writes to the process's stdin; `end` closes the held end, too. */
  writer(): { write(chunk: Uint8Array): Promise<void>; end(): void } {
    const fd = this.#opened(this.stdin, constants.O_WRONLY | constants.O_NONBLOCK);
    return {
      write: async (chunk) => {
        let pause = 1;
        for (let at = 0; at < chunk.length; ) {
          if (!this.#open.has(fd)) throw new BerthError("canceled", "standard input was closed");
          const size = writeNow(fd, chunk, at);
          at += size;
          // A full pipe means a slow reader: retry, with increasing pauses.
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
   * Closes the held ends of the output FIFOs, once the process has exited: reads then return the rest and reach end
   * of file. Any earlier, the daemon might not have opened its own end yet.
   */
  release(): void {
    this.#letGo(this.stdout);
    this.#letGo(this.stderr);
  }

  /** Removes the FIFOs and ends pending reads. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // A read that blocks in a thread cannot be cancelled, and the process may hold its end for long (the user has
    // detached): a byte of our own wakes it.
    for (const path of this.#reading)
      try {
        if (!this.#held.has(path)) this.#hold(path);
        writeSync(this.#held.get(path)!, "\0");
      } catch {
        // Full, so the read is about to return; or removed, so there is no reader.
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
