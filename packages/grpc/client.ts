/**
 * A gRPC client over a unix socket, for Node and Bun; the wire is http2/session.ts.
 *
 * `connect({ path })` gives a connection that dials at its first call, and dials again for the first call after
 * the server went away. `connection.client(Service)` gives typed methods. Every failure is a BerthError.
 */
import { BerthError, present } from "@berth/base";
import { type CallOptions, type Client, ClientBinding, DETAILS_HEADER, dial, onAbandoned } from "@berth/rpc";
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { DEFAULT_MAX_MESSAGE, type Encoding, encodingOf, FrameReader, frame } from "./frames.ts";
import type { Headers } from "./http2/hpack.ts";
import { ClientSession, type ClientStream, type StreamListener } from "./http2/session.ts";
import { errorOf } from "./status.ts";
import { formatTimeout } from "./timeout.ts";

/** How to connect. */
export interface ConnectOptions {
  /** Path of the unix socket. */
  path: string;
  /** Sent with every call, for instance `{"containerd-namespace": "default"}`. */
  headers?: Readonly<Record<string, string>>;
  /** Largest message accepted, in bytes. Default: 16 MiB. */
  maxMessageBytes?: number;
  /** Encoding of requests. Default: identity. */
  encoding?: Encoding;
  /** Deadline of unary calls that do not set one, in milliseconds. Default: none. */
  timeoutMs?: number;
  /** How long a call waits for a socket that does not exist or is not accepting yet, in milliseconds. Default: 0. */
  dialTimeoutMs?: number;
}

/** A connection to one server; calls may be made at any time and in any number. */
export interface Connection extends AsyncDisposable {
  client<D extends DescService>(desc: D): Client<D>;
  /** Ends the connection; calls in flight fail with "canceled". */
  close(): void;
}

const HINTS = {
  denied: "run as root, or join the socket's group",
  absent: "is berthd running, and on this address?",
};

/** Makes a connection; the socket is opened by the first call. */
export function connect(options: ConnectOptions): Connection {
  return new Dialer(options);
}

class Dialer implements Connection {
  readonly #options: ConnectOptions;
  #session: Promise<ClientSession> | undefined;
  #live: ClientSession | undefined;
  #closed = false;
  readonly #binding: ClientBinding;

  constructor(options: ConnectOptions) {
    this.#options = options;
    this.#binding = new ClientBinding("grpc", options.timeoutMs, (...call) => this.#open(...call));
  }

  client<D extends DescService>(desc: D): Client<D> {
    return this.#binding.client(desc);
  }

  close(): void {
    this.#closed = true;
    this.#live?.destroy(new BerthError("canceled", "the connection was closed", { stage: "grpc" }));
    this.#session = undefined;
    this.#live = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  async #open(
    method: DescMethod,
    requests: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    { signal, timeoutMs, headers: own }: CallOptions,
  ): Promise<AsyncGenerator<Uint8Array>> {
    const session = this.#live ?? (await this.#connected());
    const encoding = this.#options.encoding ?? "identity";
    const headers: Headers = {
      ":method": "POST",
      ":scheme": "http",
      ":path": `/${method.parent.typeName}/${method.name}`,
      ":authority": "localhost",
      "content-type": "application/grpc",
      te: "trailers",
      [DETAILS_HEADER]: "1",
      ...this.#options.headers,
      ...own,
    };
    if (encoding !== "identity") {
      headers["grpc-encoding"] = encoding;
      headers["grpc-accept-encoding"] = "identity,gzip";
    }
    if (timeoutMs !== undefined) headers["grpc-timeout"] = formatTimeout(timeoutMs);
    const call = new ClientCall(method, {
      path: this.#options.path,
      max: this.#options.maxMessageBytes ?? DEFAULT_MAX_MESSAGE,
      ...present({ signal, timeoutMs }),
    });
    return call.run(session.request(headers, call), requests, encoding);
  }

  #connected(): Promise<ClientSession> {
    if (this.#closed) throw new BerthError("canceled", "the connection was closed");
    this.#session ??= this.#dial().catch((error) => {
      this.#session = undefined;
      throw error;
    });
    return this.#session;
  }

  async #dial(): Promise<ClientSession> {
    const { path, dialTimeoutMs = 0 } = this.#options;
    const socket = await dial(path, dialTimeoutMs, HINTS);
    const session = new ClientSession(socket, () => {
      if (this.#live !== session) return;
      this.#live = undefined;
      this.#session = undefined;
    });
    this.#live = session;
    return session;
  }
}

function lost(path: string, cause: unknown): BerthError {
  return new BerthError("unavailable", `the connection to ${path} was lost`, {
    stage: "grpc",
    path,
    cause,
    hint: "see the daemon's log; the call may or may not have been carried out",
  });
}

interface ClientCallOptions extends Pick<CallOptions, "signal" | "timeoutMs"> {
  path: string;
  max: number;
}

/** One call: sends in the background, yields responses, ends with the status. */
class ClientCall implements StreamListener {
  readonly #method: DescMethod;
  readonly #options: ClientCallOptions;
  #stream: ClientStream | undefined;
  #frames: FrameReader | undefined;
  #headers: Headers | undefined;
  #trailers: Headers | undefined;
  #ended = false;
  #failed: BerthError | undefined;
  #wake: (() => void) | undefined;
  /** Bytes buffered while no reader waits for them. */
  #held = 0;

  constructor(method: DescMethod, options: ClientCallOptions) {
    this.#method = method;
    this.#options = options;
  }

  headers(headers: Headers, last: boolean): void {
    if (this.#headers === undefined) this.#headers = headers;
    else this.#trailers = headers;
    if (last && this.#trailers === undefined) this.#trailers = headers;
    try {
      this.#frames ??= new FrameReader(this.#options.max, encodingOf(headers["grpc-encoding"]));
    } catch (error) {
      this.#fail(BerthError.from(error));
    }
    this.#notify();
  }
  data(chunk: Uint8Array): void {
    // No headers came first, so this is no gRPC response; the end of the stream will report it.
    this.#frames?.push(chunk);
    // A waiting reader takes everything that arrives, as one message may be larger than a window.
    if (this.#wake) this.#stream?.consumed(chunk.length);
    else this.#held += chunk.length;
    this.#notify();
  }
  end(): void {
    this.#ended = true;
    this.#notify();
  }
  fail(cause: unknown): void {
    if (!this.#ended)
      this.#failed ??=
        cause instanceof BerthError && cause.code === "canceled" ? cause : lost(this.#options.path, cause);
    this.#notify();
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  // Ends the call from the client's side.
  #fail(error: BerthError): void {
    this.#failed ??= error;
    this.#stream?.cancel();
    this.#notify();
  }

  /** The status, once the stream has ended: undefined for OK. */
  #status(): BerthError | undefined {
    const status = this.#trailers ?? this.#headers;
    if (status?.["grpc-status"] !== undefined) return errorOf(status);
    const http = Number(this.#headers?.[":status"] ?? 200);
    if (http !== 200)
      return new BerthError("internal", `the server answered with HTTP status ${http}`, { stage: "grpc" });
    return this.#failed ?? lost(this.#options.path, undefined);
  }

  async *run(
    stream: ClientStream,
    requests: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    encoding: Encoding,
  ): AsyncGenerator<Uint8Array> {
    this.#stream = stream;
    const stopListening = onAbandoned(this.#method.name, this.#options, (reason) => this.#fail(reason), {
      path: this.#options.path,
    });
    try {
      if (Symbol.asyncIterator in requests)
        this.#sendAll(stream, requests, encoding).catch((error) => this.#fail(BerthError.from(error)));
      else {
        for (const request of requests) sendMessage(stream, request, encoding);
        stream.send(NOTHING, true);
      }
      for (;;) {
        const message = this.#frames?.next();
        if (message !== undefined) yield message;
        else if (this.#ended) break;
        else if (this.#failed !== undefined) throw this.#failed;
        else await this.#more(stream);
      }
      const status = this.#status();
      if (status !== undefined) throw this.#failed ?? status;
      this.#frames?.end();
    } finally {
      stopListening();
      stream.cancel();
    }
  }

  #more(stream: ClientStream): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      stream.consumed(this.#held);
      this.#held = 0;
    });
  }

  async #sendAll(
    stream: ClientStream,
    requests: AsyncIterable<Uint8Array>,
    encoding: Encoding,
  ): Promise<void> {
    for await (const request of requests) {
      // The server may answer before it has read everything; the rest of the requests is no longer wanted.
      if (stream.closed || this.#ended) return;
      await sendMessage(stream, request, encoding);
    }
    stream.send(NOTHING, true);
  }
}

const NOTHING = new Uint8Array(0);

function sendMessage(
  stream: ClientStream,
  message: Uint8Array,
  encoding: Encoding,
): Promise<void> | undefined {
  let waiting: Promise<void> | undefined;
  for (const part of frame(message, encoding)) waiting = stream.send(part, false) ?? waiting;
  return waiting;
}
