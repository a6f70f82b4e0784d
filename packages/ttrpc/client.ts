/**
 * A ttrpc client over a unix socket.
 *
 * `connect({ address })` gives a connection that dials at its first call, and dials again for the first call after
 * the server went away. Every failure is a BerthError. ttrpc cannot cancel a single call: an aborted one is forgotten
 * here, while the server keeps working on it. Closing the connection cancels all of its calls.
 */
import type net from "node:net";
import { BerthError } from "@berth/base";
import { type CallOptions, type Client, ClientBinding, dial, shownName, socketName } from "@berth/rpc";
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { Channel } from "./channel.ts";
import { ClientCall } from "./client-call.ts";
import type { Frame } from "./frames.ts";

/** How to connect. */
export interface ConnectOptions {
  /** Address of the server's socket: see `socketName`. */
  address: string;
  /** How to read an unmarked name; shims of containerd 1.3 and before mean an abstract socket. */
  bare?: "path" | "abstract";
  /** Metadata of every call, for instance `{"containerd-namespace-ttrpc": "default"}`. */
  headers?: Readonly<Record<string, string>>;
  /** Deadline of unary calls that do not set one, in milliseconds. Default: none. */
  timeoutMs?: number;
  /** How long a call waits for a socket that does not exist or is not accepting yet, in milliseconds. Default: 0. */
  dialTimeoutMs?: number;
  /** Called each time an open connection has ended, from either side. */
  onLost?: () => void;
  /** Whether an idle connection lets the process exit. Default: no. */
  background?: boolean;
}

/** A connection to one server; calls may be made at any time and in any number. */
export interface Connection extends AsyncDisposable {
  client<D extends DescService>(desc: D): Client<D>;
  /** Dials now, unless connected; "unavailable" if there is no answer. */
  open(): Promise<void>;
  /** Ends the connection; calls in flight fail with "canceled". */
  close(): void;
}

/** Makes a connection; the socket is opened by the first call. */
export function connect(options: ConnectOptions): Connection {
  return new Dialer(options);
}

/** One open connection: a channel and its calls. */
class Session {
  readonly channel: Channel;
  readonly #calls = new Map<number, ClientCall>();
  readonly #background: boolean;
  #next = 1;
  #reason: BerthError | undefined;

  constructor(socket: net.Socket, name: string, background: boolean, onClose: () => void) {
    this.#background = background;
    this.channel = new Channel(
      socket,
      (frame) => this.#receive(frame),
      (cause) => {
        const reason =
          this.#reason ??
          new BerthError("unavailable", `the connection to ${shownName(name)} was lost`, {
            stage: "ttrpc",
            path: shownName(name),
            cause,
            hint: "the call may or may not have been carried out",
          });
        onClose();
        for (const call of this.#calls.values()) call.fail(reason);
        this.#calls.clear();
      },
    );
    if (background) this.channel.setRef(false);
  }

  /** Assigns a call its stream; "unavailable" when the connection has ended or has no numbers left. */
  add(call: ClientCall): number {
    if (this.channel.closed || this.#next > 0xffff_ffff) {
      const reason = new BerthError("unavailable", "the connection has ended", {
        stage: "ttrpc",
        hint: "call again",
      });
      this.close(reason);
      throw reason;
    }
    const id = this.#next;
    this.#next += 2;
    if (this.#background && this.#calls.size === 0) this.channel.setRef(true);
    this.#calls.set(id, call);
    return id;
  }

  remove(id: number): void {
    if (this.#calls.delete(id) && this.#background && this.#calls.size === 0) this.channel.setRef(false);
  }

  close(reason: BerthError): void {
    this.#reason ??= reason;
    this.channel.close();
  }

  // Frames of forgotten calls are dropped.
  #receive(frame: Frame): void {
    this.#calls.get(frame.stream)?.hear(frame);
  }
}

class Dialer implements Connection {
  readonly #options: ConnectOptions;
  readonly #name: string;
  #session: Promise<Session> | undefined;
  #live: Session | undefined;
  #closed = false;
  readonly #binding: ClientBinding;

  constructor(options: ConnectOptions) {
    this.#options = options;
    this.#name = socketName(options.address, options.bare);
    this.#binding = new ClientBinding("ttrpc", options.timeoutMs, (...call) => this.#call(...call));
  }

  client<D extends DescService>(desc: D): Client<D> {
    return this.#binding.client(desc);
  }

  async open(): Promise<void> {
    await this.#connected();
  }

  close(): void {
    this.#closed = true;
    this.#live?.close(new BerthError("canceled", "the connection was closed", { stage: "ttrpc" }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  async #call(
    method: DescMethod,
    requests: [Uint8Array<ArrayBuffer>] | AsyncIterable<Uint8Array>,
    options: CallOptions,
  ): Promise<AsyncGenerator<Uint8Array>> {
    const headers = { ...this.#options.headers, ...options.headers };
    if (this.#live?.channel.closed) this.#forget(this.#live);
    const session = this.#live ?? (await this.#connected());
    const call = new ClientCall(session.channel, method, options);
    return call.run(
      requests,
      headers,
      () => session.add(call),
      (id) => session.remove(id),
    );
  }

  // The next call dials again.
  #forget(session: Session): void {
    if (this.#live !== session) return;
    this.#live = undefined;
    this.#session = undefined;
  }

  #connected(): Promise<Session> {
    if (this.#closed) throw new BerthError("canceled", "the connection was closed", { stage: "ttrpc" });
    this.#session ??= this.#dial().catch((error) => {
      this.#session = undefined;
      throw error;
    });
    return this.#session;
  }

  async #dial(): Promise<Session> {
    const { dialTimeoutMs = 0, background = false } = this.#options;
    const socket = await dial(this.#name, dialTimeoutMs);
    if (this.#closed) {
      socket.destroy();
      throw new BerthError("canceled", "the connection was closed", { stage: "ttrpc" });
    }
    const session = new Session(socket, this.#name, background, () => {
      this.#forget(session);
      this.#options.onLost?.();
    });
    this.#live = session;
    return session;
  }
}
