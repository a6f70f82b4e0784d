/** A socket that carries frames, for both ends. */
import type { Socket } from "node:net";
import { encodeFrame, type Frame, FrameReader } from "./frames.ts";

/** Senders wait while the socket buffers more than this. */
const HIGH_WATER = 1 << 20;
/** Above this much unread output, the peer's requests are not read either. */
const OUTPUT_LIMIT = 8 << 20;

/** Sends and receives frames over one socket, with backpressure in both directions. */
export class Channel {
  readonly #socket: Socket;
  readonly #frames = new FrameReader();
  #corked = false;
  #reading = false;
  /** Streams whose reader is behind; while there are any, reading is paused. */
  readonly #behind = new Set<unknown>();
  readonly #waiting: (() => void)[] = [];

  /** `onFrame` gets every frame; `onClose` is called once at the end, with the error if there was one. */
  constructor(socket: Socket, onFrame: (frame: Frame) => void, onClose: (cause: unknown) => void) {
    this.#socket = socket;
    let failure: unknown;
    socket.on("data", (chunk: Uint8Array) => {
      this.#frames.push(chunk);
      this.#drain(onFrame);
    });
    socket.on("drain", () => this.#release());
    socket.on("error", (cause) => {
      failure = cause;
    });
    // A peer that has stopped sending is gone: half-closed connections are not part of the protocol.
    socket.on("end", () => socket.destroy());
    socket.on("close", () => {
      this.#release();
      onClose(failure);
    });
  }

  // A handler may send, pause or close while it handles a frame: the loop checks again each time.
  #drain(onFrame: (frame: Frame) => void): void {
    if (this.#reading) return;
    this.#reading = true;
    for (;;) {
      if (this.#socket.destroyed) break;
      const frame = this.#frames.next();
      if (frame === undefined) break;
      onFrame(frame);
    }
    this.#reading = false;
  }

  /** Sends a frame; "resource_exhausted" when its payload is over the limit. */
  send(stream: number, type: number, flags: number, payload?: Uint8Array): void {
    const parts = encodeFrame(stream, type, flags, payload);
    if (this.#socket.destroyed) return;
    // Everything written in one turn goes out in one system call.
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      queueMicrotask(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    for (const part of parts) this.#socket.write(part);
    if (this.#socket.writableLength > OUTPUT_LIMIT) this.hold(this);
  }

  /** Undefined while there is room for more, else a promise of it (or of the end). */
  room(): Promise<void> | undefined {
    if (this.#socket.destroyed || this.#socket.writableLength <= HIGH_WATER) return undefined;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Stops reading on behalf of `holder`, until {@link resume}. */
  hold(holder: unknown): void {
    if (this.#behind.size === 0) this.#socket.pause();
    this.#behind.add(holder);
  }

  resume(holder: unknown): void {
    if (this.#behind.delete(holder) && this.#behind.size === 0 && !this.#socket.destroyed)
      this.#socket.resume();
  }

  #release(): void {
    this.resume(this);
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  get closed(): boolean {
    return this.#socket.destroyed;
  }

  /** Whether the connection keeps the process alive. */
  setRef(on: boolean): void {
    if (on) this.#socket.ref();
    else this.#socket.unref();
  }

  /** Closes the connection; with `gently`, buffered output is sent first. */
  close(gently = false): void {
    if (gently && !this.#socket.destroyed) this.#socket.destroySoon();
    else this.#socket.destroy();
  }
}
