/** A ttrpc server on a unix socket. */
import net from "node:net";
import { RequestSchema } from "@berth/api/ttrpc";
import { BerthError, log, present } from "@berth/base";
import { type CallContext, type Route, type Service, shownName, socketName } from "@berth/rpc";
import { keepSocket, listen as listenKept, type SocketOptions } from "@berth/rpc/listen";
import { fromBinary } from "@bufbuild/protobuf";
import { Answer } from "./answer.ts";
import { Channel } from "./channel.ts";
import { FLAG, type Frame, TYPE, tooLarge } from "./frames.ts";

/** How to serve. */
export interface ServeOptions {
  /**
   * Address of the socket (see `socketName`), or the descriptor of a listening one; or where to make one that takes the
   * place of a stale one, and is made again when somebody removes it.
   */
  address: string | { fd: number } | SocketOptions;
  services: readonly Service[];
  /** Most connections at a time. Default: 1024. */
  maxConnections?: number;
  /** Most calls at a time on one connection. Default: 16384. */
  maxCallsPerConnection?: number;
  /** Runs around each unary call, for tracing; must return what `run` returns. */
  around?: <T>(call: CallContext, run: () => Promise<T>) => Promise<T>;
}

/** A server that listens. */
export interface RunningServer {
  /** Connections that are open. */
  readonly connections: number;
  /** Stops listening, and after `graceMs` (default 1000) aborts the calls still in flight. */
  close(graceMs?: number): Promise<void>;
}

/** State shared by the connections of one server. */
export interface ServerState {
  readonly services: ReadonlyMap<string, ReadonlyMap<string, Route>>;
  readonly maxCalls: number;
  readonly around: NonNullable<ServeOptions["around"]>;
}

/**
 * Starts listening. The socket's file gets mode 0600, and must not exist: only the caller knows whether an existing
 * one is in use. "failed_precondition" when the address is taken.
 */
export async function serve(options: ServeOptions): Promise<RunningServer> {
  const state: ServerState = {
    services: new Map(
      options.services.map(({ desc, routes }) => [
        desc.typeName,
        new Map(routes.map((route) => [route.method.name, route])),
      ]),
    ),
    maxCalls: options.maxCallsPerConnection ?? 16_384,
    around: options.around ?? ((_call, run) => run()),
  };
  const open = new Set<ServerConnection>();
  const listener = net.createServer((socket) => {
    const connection = new ServerConnection(socket, state, () => open.delete(connection));
    open.add(connection);
  });
  listener.maxConnections = options.maxConnections ?? 1024;
  const { address } = options;
  const kept = typeof address === "object" && "path" in address ? address : undefined;
  await (kept === undefined
    ? listen(listener, address as string | { fd: number })
    : listenKept(listener, kept));
  const leaveSocket = kept === undefined ? () => {} : keepSocket(listener, kept);
  return {
    get connections() {
      return open.size;
    },
    close: async (graceMs = 1000) => {
      leaveSocket();
      const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
      for (const connection of open) connection.retire();
      const timer = setTimeout(() => {
        for (const connection of open) connection.destroy();
      }, graceMs);
      await closed;
      clearTimeout(timer);
    },
  };
}

async function listen(listener: net.Server, address: string | { fd: number }): Promise<void> {
  const path = typeof address === "string" ? socketName(address) : undefined;
  // The umask makes the socket 0600 from the start.
  const mask = path === undefined ? undefined : process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      listener.once("error", reject);
      listener.listen(path === undefined ? (address as { fd: number }) : { path, backlog: 1024 }, () => {
        listener.off("error", reject);
        resolve();
      });
    });
  } catch (cause) {
    const taken = (cause as NodeJS.ErrnoException).code === "EADDRINUSE";
    const shown = path === undefined ? "the given socket" : shownName(path);
    throw new BerthError(
      taken ? "failed_precondition" : BerthError.from(cause).code,
      `cannot listen on ${shown}: ${taken ? "the address is taken" : (cause as Error).message}`,
      { stage: "listen", cause, ...present({ path: path === undefined ? undefined : shown }) },
    );
  } finally {
    if (mask !== undefined) process.umask(mask);
  }
}

/** One client with its calls. */
class ServerConnection {
  readonly #channel: Channel;
  readonly #state: ServerState;
  readonly #calls = new Map<number, Answer>();
  #last = 0;
  #retiring = false;

  constructor(socket: net.Socket, state: ServerState, onClose: () => void) {
    this.#state = state;
    this.#channel = new Channel(
      socket,
      (frame) => this.#receive(frame),
      (cause) => {
        if (cause !== undefined) log.debug("ttrpc: a connection failed", { error: String(cause) });
        // The client is gone: this is how ttrpc cancels.
        for (const call of this.#calls.values())
          call.abandon(new BerthError("canceled", "the client went away", { stage: "ttrpc" }));
        this.#calls.clear();
        onClose();
      },
    );
  }

  /** Accepts no more calls, and ends when the last one is answered. */
  retire(): void {
    this.#retiring = true;
    if (this.#calls.size === 0) this.#channel.close(true);
  }

  destroy(): void {
    this.#channel.close();
  }

  #receive(frame: Frame): void {
    const { stream, type } = frame;
    try {
      if (stream % 2 !== 1) throw refused(`stream ${stream}: a client's streams have odd numbers`);
      if (type === TYPE.request) this.#open(frame);
      else if (type === TYPE.data) this.#data(frame);
      else log.debug("ttrpc: a frame of unknown type is passed over", { type });
    } catch (error) {
      const call = this.#calls.get(stream);
      if (call === undefined) Answer.refuse(this.#channel, stream, error);
      else call.fail(BerthError.from(error));
    }
  }

  #open({ stream, flags, payload, oversized }: Frame): void {
    if (stream <= this.#last) throw refused(`stream ${stream} is not above ${this.#last}, the last one`);
    this.#last = stream;
    if (oversized !== undefined) throw tooLarge(oversized);
    if (this.#retiring)
      throw new BerthError("unavailable", "the server is shutting down", { stage: "ttrpc" });
    if (this.#calls.size >= this.#state.maxCalls)
      throw new BerthError(
        "resource_exhausted",
        `${this.#calls.size} calls are in flight on this connection, which is the limit`,
        { stage: "ttrpc" },
      );
    let request: ReturnType<typeof fromBinary<typeof RequestSchema>>;
    try {
      request = fromBinary(RequestSchema, payload);
    } catch (cause) {
      throw new BerthError("invalid_argument", "the request is not a ttrpc.Request", {
        stage: "ttrpc",
        cause,
      });
    }
    const methods = this.#state.services.get(request.service);
    if (methods === undefined)
      throw new BerthError("unimplemented", `service ${request.service} is not served here`);
    const route = methods.get(request.method);
    if (route === undefined)
      throw new BerthError("unimplemented", `method ${request.method} of ${request.service} is unknown`);
    const call = new Answer(this.#channel, stream, route, request, (flags & FLAG.open) !== 0);
    this.#calls.set(stream, call);
    void call.run(this.#state.around).finally(() => {
      this.#calls.delete(stream);
      if (this.#retiring && this.#calls.size === 0) this.#channel.close(true);
    });
  }

  #data({ stream, flags, payload, oversized }: Frame): void {
    const call = this.#calls.get(stream);
    if (call === undefined) {
      // Sent before the client learned of the end; ignored.
      if (stream <= this.#last) return;
      throw refused(`stream ${stream} is not open`);
    }
    if (oversized !== undefined) throw tooLarge(oversized);
    if ((flags & FLAG.empty) === 0) call.receive(payload);
    if (flags & FLAG.closed) call.receiveEnd();
  }
}

function refused(message: string): BerthError {
  return new BerthError("invalid_argument", message, { stage: "ttrpc" });
}
