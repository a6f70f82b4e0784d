/** A socket that carries frames, for both ends. */
import type { Socket } from "node:net";
import { encodeFrame, type Frame, FrameReader } from "./frames.ts";

/** A sender of a stream waits while the socket holds more than this. */
const HIGH_WATER = 1 << 20;
/** A peer that reads none of its answers is not read from either, from here on. */
const STUFFED = 8 << 20;

/** See the module comment. */
export class Channel {
  readonly #socket: Socket;
  readonly #frames = new FrameReader();
  #corked = false;
  #reading = false;
  /** Streams whose reader is behind; while there are any, nothing more is read. */
  readonly #behind = new Set<unknown>();
  readonly #waiting: (() => void)[] = [];

  /** `onFrame` hears every frame, `onClose` once of the end: with what went wrong, if anything did. */
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
    // Who has said all it will say has gone: half-closed connections are not part of the protocol.
    socket.on("end", () => socket.destroy());
    socket.on("close", () => {
      this.#release();
      onClose(failure);
    });
  }

  // A handler may send, hold back or close while it hears a frame: so the loop looks anew each time.
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
    // What is written in one turn goes out in one system call.
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      queueMicrotask(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    for (const part of parts) this.#socket.write(part);
    if (this.#socket.writableLength > STUFFED) this.hold(this);
  }

  /** Undefined while there is room for more, else a promise of it (or of the end). */
  room(): Promise<void> | undefined {
    if (this.#socket.destroyed || this.#socket.writableLength <= HIGH_WATER) return undefined;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Stops reading for the sake of `who`, until {@link resume}. */
  hold(who: unknown): void {
    if (this.#behind.size === 0) this.#socket.pause();
    this.#behind.add(who);
  }

  resume(who: unknown): void {
    if (this.#behind.delete(who) && this.#behind.size === 0 && !this.#socket.destroyed) this.#socket.resume();
  }

  #release(): void {
    this.resume(this);
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  get closed(): boolean {
    return this.#socket.destroyed;
  }

  /** Keeps the process alive, or no longer. */
  setRef(on: boolean): void {
    if (on) this.#socket.ref();
    else this.#socket.unref();
  }

  /** Ends the connection; what was sent before goes out where `gently`. */
  close(gently = false): void {
    if (gently && !this.#socket.destroyed) this.#socket.destroySoon();
    else this.#socket.destroy();
  }
}
