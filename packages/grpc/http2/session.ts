/**
 * The client's side of HTTP/2 (RFC 9113) over one socket, as far as gRPC needs it.
 *
 * Why not node:http2: a command that lives some milliseconds pays more for loading and warming it than for all its
 * calls, and Bun's stalls downloads once a window was changed. What remains is here: frames, flow control in both
 * directions, and the end of streams.
 */
import type { Socket } from "node:net";
import { BerthError } from "@berth/base";
import { decodeHeaders, encodeHeaders, type Headers } from "./hpack.ts";

/** Callbacks of a request's stream; after `end` or `fail` none is called any more. */
export interface StreamListener {
  /** Response headers first, trailers later; with `last` the stream ends in the same frame. */
  headers(headers: Headers, last: boolean): void;
  data(chunk: Uint8Array): void;
  end(): void;
  fail(cause: unknown): void;
}

const FRAME = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const;
const FLAG = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 32 } as const;
const SETTING = { headerTable: 1, push: 2, initialWindow: 4, maxFrame: 5 } as const;
const RESET_CANCEL = 8;
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/** How much the server may send on one stream before it is consumed. */
const STREAM_WINDOW = 4 << 20;
/** The same for all streams together: unlimited in effect, as each stream is bounded. */
const SESSION_WINDOW = 0x7fffffff;
const DEFAULT_WINDOW = 65_535;
const MAX_FRAME = 1 << 18;
const MAX_HEADER_BLOCK = 256 << 10;
/** Sending stops while the socket buffers more than this. */
const SOCKET_HIGH_WATER = 1 << 20;

/** One request with its response. */
export class ClientStream {
  readonly id: number;
  readonly listener: StreamListener;
  readonly #session: ClientSession;
  /** Bytes that the server still accepts. */
  sendWindow: number;
  readonly #pending: { bytes: Uint8Array; last: boolean; done: (() => void) | undefined }[] = [];
  #unread = 0;
  #localEnded = false;
  remoteEnded = false;
  closed = false;

  constructor(session: ClientSession, id: number, listener: StreamListener, window: number) {
    this.#session = session;
    this.id = id;
    this.listener = listener;
    this.sendWindow = window;
  }

  /** Sends bytes after those already queued; returns a promise if the server's window or the socket is full. */
  send(bytes: Uint8Array, last: boolean): Promise<void> | undefined {
    if (this.closed || this.#localEnded) return undefined;
    const entry = { bytes, last, done: undefined as (() => void) | undefined };
    this.#pending.push(entry);
    this.flush();
    if (!this.#pending.includes(entry)) return undefined;
    return new Promise((resolve) => {
      entry.done = resolve;
    });
  }

  /** Sends as much as the windows allow. */
  flush(): void {
    while (this.#pending.length > 0 && !this.closed) {
      const entry = this.#pending[0]!;
      const room = Math.min(this.sendWindow, this.#session.room());
      const part = entry.bytes.subarray(0, Math.max(0, Math.min(room, this.#session.maxFrame)));
      if (part.length === 0 && entry.bytes.length > 0) return;
      const complete = part.length === entry.bytes.length;
      this.sendWindow -= part.length;
      this.#session.sendData(this.id, part, complete && entry.last);
      entry.bytes = entry.bytes.subarray(part.length);
      if (!complete) continue;
      this.#pending.shift();
      if (entry.last) this.#localEnded = true;
      entry.done?.();
    }
    this.#settle();
  }

  /** Returns window credit to the server for bytes that were read. */
  consumed(bytes: number): void {
    this.#unread += bytes;
    if (this.#unread < STREAM_WINDOW / 4 || this.remoteEnded || this.closed) return;
    this.#session.sendWindow(this.id, this.#unread);
    this.#unread = 0;
  }

  /** Resets the stream; the server is notified, the listener is not. */
  cancel(): void {
    if (this.closed) return;
    if (!this.remoteEnded || !this.#localEnded) this.#session.sendReset(this.id, RESET_CANCEL);
    this.close();
  }

  /** Forgets the stream and wakes pending senders. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#session.forget(this.id);
    for (const entry of this.#pending.splice(0)) entry.done?.();
  }

  /** The server has closed its side. */
  finish(): void {
    this.remoteEnded = true;
    this.#settle();
  }

  #settle(): void {
    if (this.remoteEnded && this.#localEnded) this.close();
  }
}

/** A connection; see the module comment. */
export class ClientSession {
  readonly #socket: Socket;
  readonly #onEnd: () => void;
  readonly #streams = new Map<number, ClientStream>();
  #nextId = 1;
  #window = DEFAULT_WINDOW;
  #peerInitialWindow = DEFAULT_WINDOW;
  maxFrame = 16_384;
  #received = 0;
  #chunks: Uint8Array[] = [];
  #have = 0;
  #block: { stream: number; flags: number; parts: Uint8Array[]; size: number } | undefined;
  #corked = false;
  #ended = false;

  /** Takes over a connected socket; `onEnd` is called once no more streams can be opened. */
  constructor(socket: Socket, onEnd: () => void) {
    this.#socket = socket;
    this.#onEnd = onEnd;
    this.#write(Buffer.from(PREFACE, "latin1"));
    const settings = Buffer.alloc(24);
    [
      [SETTING.headerTable, 0],
      [SETTING.push, 0],
      [SETTING.initialWindow, STREAM_WINDOW],
      [SETTING.maxFrame, MAX_FRAME],
    ].forEach(([name, value], i) => {
      settings.writeUInt16BE(name!, i * 6);
      settings.writeUInt32BE(value!, i * 6 + 2);
    });
    this.#frame(FRAME.settings, 0, 0, settings);
    this.sendWindow(0, SESSION_WINDOW - DEFAULT_WINDOW);
    socket.on("data", (chunk: Uint8Array) => this.#read(chunk));
    socket.on("drain", () => this.#flushAll());
    socket.on("error", (error) => this.#end(error));
    socket.on("close", () => this.#end(undefined));
  }

  /** Opens a stream; throws "unavailable" when the connection has ended. */
  request(headers: Headers, listener: StreamListener): ClientStream {
    if (this.#ended) throw new BerthError("unavailable", "the connection has ended", { stage: "grpc" });
    const block = encodeHeaders(headers);
    const stream = new ClientStream(this, this.#nextId, listener, this.#peerInitialWindow);
    this.#nextId += 2;
    this.#streams.set(stream.id, stream);
    const first = block.subarray(0, this.maxFrame);
    this.#frame(FRAME.headers, first.length === block.length ? FLAG.endHeaders : 0, stream.id, first);
    for (let at = first.length; at < block.length; at += this.maxFrame) {
      const part = block.subarray(at, at + this.maxFrame);
      this.#frame(
        FRAME.continuation,
        at + part.length === block.length ? FLAG.endHeaders : 0,
        stream.id,
        part,
      );
    }
    if (this.#nextId > 0x7fff_fff0) this.#retire();
    return stream;
  }

  /** Ends the connection; streams fail with `reason`. */
  destroy(reason: unknown): void {
    this.#end(reason);
    this.#socket.destroy();
  }

  /** Bytes that may be sent on the connection now. */
  room(): number {
    return this.#socket.writableLength > SOCKET_HIGH_WATER ? 0 : this.#window;
  }

  sendData(stream: number, bytes: Uint8Array, last: boolean): void {
    this.#window -= bytes.length;
    this.#frame(FRAME.data, last ? FLAG.endStream : 0, stream, bytes);
  }
  sendWindow(stream: number, bytes: number): void {
    this.#number(FRAME.window, stream, bytes);
  }
  sendReset(stream: number, code: number): void {
    this.#number(FRAME.reset, stream, code);
  }
  forget(stream: number): void {
    this.#streams.delete(stream);
  }

  #number(type: number, stream: number, value: number): void {
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(value, 0);
    this.#frame(type, 0, stream, payload);
  }

  #frame(type: number, flags: number, stream: number, payload: Uint8Array): void {
    const small = payload.length < 4096;
    const head = Buffer.allocUnsafe(small ? 9 + payload.length : 9);
    head.writeUIntBE(payload.length, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(stream, 5);
    if (small) head.set(payload, 9);
    this.#write(head);
    if (!small) this.#write(payload);
  }

  // Everything written in one turn goes out in one system call.
  #write(bytes: Uint8Array): void {
    if (this.#ended || this.#socket.destroyed) return;
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      queueMicrotask(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    this.#socket.write(bytes);
  }

  #flushAll(): void {
    for (const stream of [...this.#streams.values()]) stream.flush();
  }

  // Opens no more streams; those in flight continue.
  #retire(): void {
    this.#onEnd();
  }

  #end(reason: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd();
    for (const stream of [...this.#streams.values()]) {
      stream.close();
      stream.listener.fail(reason);
    }
  }

  #read(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#have += chunk.length;
    try {
      for (;;) {
        if (this.#have < 9) return;
        const head = this.#peek(9);
        const length = (head[0]! << 16) | (head[1]! << 8) | head[2]!;
        if (length > MAX_FRAME) throw broken(`a frame of ${length} bytes`);
        if (this.#have < 9 + length) return;
        const frame = this.#take(9 + length);
        const stream = (((frame[5]! & 0x7f) << 24) | (frame[6]! << 16) | (frame[7]! << 8) | frame[8]!) >>> 0;
        this.#handle(frame[3]!, frame[4]!, stream, frame.subarray(9));
      }
    } catch (error) {
      this.destroy(error);
    }
  }

  #peek(size: number): Uint8Array {
    const first = this.#chunks[0]!;
    if (first.length >= size) return first;
    this.#chunks = [Buffer.concat(this.#chunks, this.#have)];
    return this.#chunks[0]!;
  }

  #take(size: number): Uint8Array {
    const first = this.#chunks[0]!;
    if (first.length < size) {
      this.#chunks = [Buffer.concat(this.#chunks, this.#have)];
      return this.#take(size);
    }
    this.#have -= size;
    if (first.length === size) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(size);
    return first.subarray(0, size);
  }

  #handle(type: number, flags: number, id: number, payload: Uint8Array): void {
    if (this.#block && (type !== FRAME.continuation || id !== this.#block.stream))
      throw broken("headers that are interrupted");
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
    const stream = this.#streams.get(id);
    switch (type) {
      case FRAME.data:
        this.#data(stream, flags, payload);
        break;
      case FRAME.headers:
        this.#block = { stream: id, flags, parts: [withoutPadding(payload, flags)], size: payload.length };
        if (flags & FLAG.endHeaders) this.#headers();
        break;
      case FRAME.continuation:
        if (!this.#block) throw broken("a continuation of nothing");
        this.#block.parts.push(payload);
        this.#block.size += payload.length;
        if (this.#block.size > MAX_HEADER_BLOCK) throw broken("headers without end");
        if (flags & FLAG.endHeaders) this.#headers();
        break;
      case FRAME.settings:
        if (!(flags & FLAG.ack)) this.#settings(view);
        break;
      case FRAME.ping:
        if (!(flags & FLAG.ack)) this.#frame(FRAME.ping, FLAG.ack, 0, payload.slice());
        break;
      case FRAME.window: {
        const more = view.getUint32(0) & 0x7fffffff;
        if (id !== 0) {
          if (stream) {
            stream.sendWindow += more;
            stream.flush();
          }
        } else {
          this.#window += more;
          this.#flushAll();
        }
        break;
      }
      case FRAME.reset:
        if (!stream) break;
        stream.close();
        if (!stream.remoteEnded) stream.listener.fail(broken(`the stream was reset (${view.getUint32(0)})`));
        break;
      case FRAME.goaway:
        this.#goaway(view.getUint32(0) & 0x7fffffff, view.getUint32(4));
        break;
      case FRAME.push:
        throw broken("a push that was not allowed");
    }
  }

  #data(stream: ClientStream | undefined, flags: number, payload: Uint8Array): void {
    // The connection's window is replenished at once: each stream's own window bounds what is buffered.
    this.#received += payload.length;
    if (this.#received > SESSION_WINDOW / 4) {
      this.sendWindow(0, this.#received);
      this.#received = 0;
    }
    if (!stream) return;
    const chunk = withoutPadding(payload, flags & ~FLAG.priority);
    if (chunk.length < payload.length) stream.consumed(payload.length - chunk.length);
    if (chunk.length > 0) stream.listener.data(chunk);
    if (flags & FLAG.endStream) {
      stream.finish();
      stream.listener.end();
    }
  }

  #headers(): void {
    const { stream: id, flags, parts } = this.#block!;
    this.#block = undefined;
    const headers = decodeHeaders(parts.length === 1 ? parts[0]! : Buffer.concat(parts));
    const stream = this.#streams.get(id);
    if (!stream) return;
    const last = (flags & FLAG.endStream) !== 0;
    if (last) stream.finish();
    stream.listener.headers(headers, last);
    if (last) stream.listener.end();
  }

  #settings(view: DataView): void {
    for (let at = 0; at + 6 <= view.byteLength; at += 6) {
      const name = view.getUint16(at);
      const value = view.getUint32(at + 2);
      if (name === SETTING.maxFrame) this.maxFrame = Math.min(value, MAX_FRAME);
      else if (name === SETTING.initialWindow) {
        const change = value - this.#peerInitialWindow;
        this.#peerInitialWindow = value;
        for (const stream of this.#streams.values()) stream.sendWindow += change;
      }
    }
    this.#frame(FRAME.settings, FLAG.ack, 0, new Uint8Array(0));
    this.#flushAll();
  }

  #goaway(last: number, code: number): void {
    this.#retire();
    for (const stream of [...this.#streams.values()])
      if (stream.id > last) {
        stream.close();
        stream.listener.fail(broken(`the server is going away (${code})`));
      }
  }
}

function broken(what: string): BerthError {
  return new BerthError("unavailable", `the connection broke: ${what}`, { stage: "grpc" });
}

function withoutPadding(payload: Uint8Array, flags: number): Uint8Array {
  let from = 0;
  let to = payload.length;
  if (flags & FLAG.padded) {
    from = 1;
    to -= payload[0] ?? 0;
  }
  if (flags & FLAG.priority) from += 5;
  if (from > to) throw broken("padding longer than its frame");
  return from === 0 && to === payload.length ? payload : payload.subarray(from, to);
}
