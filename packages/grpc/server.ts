/**
 * A gRPC server on a unix socket, on node:http2.
 *
 * The same socket takes HTTP/1.1 POSTs with JSON bodies (json.ts); the first bytes of a connection decide which.
 */
import { chmodSync, chownSync, statSync, unlinkSync } from "node:fs";
import type http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import { BerthError, log } from "@berth/base";
import {
  Call,
  type CallContext,
  DETAILS_HEADER,
  MAX_SOCKET_PATH,
  type MessageQueue,
  type Metadata,
  metadataOf,
  type Route,
  refusalOf,
  type Service,
} from "@berth/rpc";
import { create, createRegistry, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Connection, Connections } from "./connections.ts";
import { DEFAULT_MAX_MESSAGE, type Encoding, encodingOf } from "./frames.ts";
import { answerJson, type Pages } from "./json.ts";
import { statusOf } from "./status.ts";
import { readMessages, writeMessage } from "./stream.ts";
import { parseTimeout } from "./timeout.ts";

/** How to serve. */
export interface ServeOptions {
  /** Path of the unix socket. */
  path: string;
  services: readonly Service[];
  /** Owner of the socket; default: the server's own user. */
  uid?: number;
  gid?: number;
  /** Largest message accepted, in bytes. Default: 16 MiB. */
  maxMessageBytes?: number;
  /** Most connections at a time; beyond that, the process with the most loses one. Default: 1024. */
  maxConnections?: number;
  /**
   * Returns the pid of the process at the other end of a socket, by descriptor; without it, all connections count as
   * one peer's.
   */
  peerOf?: (fd: number) => number | undefined;
  /** Most calls at a time on one connection. Default: 4096. */
  maxCallsPerConnection?: number;
  /** Pages served with GET over HTTP/1.1, by path. */
  pages?: Pages;
  /** Awaited before a response message is sent: what it refers to must be durable by then. */
  beforeAnswer?: () => Promise<void> | undefined;
  /** Runs around each unary call, for tracing; must return what `run` returns. */
  around?: <T>(call: CallContext, run: () => Promise<T>) => Promise<T>;
}

/** A server that listens. */
export interface RunningServer {
  readonly path: string;
  /** Stops listening, sends clients GOAWAY, and after `graceMs` (default 1000) aborts the calls still in flight. */
  close(graceMs?: number): Promise<void>;
}

/**
 * Stream resets allowed at once, and per second, before the connection is closed. Cancelling is part of normal use,
 * but a call made only to be cancelled costs the server more than its client (rapid reset).
 */
const RESET_BURST = 10_000;
const RESET_RATE = 1000;
/** Interval of the check that the socket file still exists, in milliseconds. */
const SOCKET_CHECK_MS = 1000;
const STREAM_WINDOW = 1 << 20;
const SESSION_WINDOW = 8 << 20;

/** Listens on `options.path`; "failed_precondition" when another process already does. */
export async function serve(options: ServeOptions): Promise<RunningServer> {
  const routes = new Map<string, Route>();
  for (const { desc, routes: methods } of options.services)
    for (const route of methods) routes.set(`/${desc.typeName}/${route.method.name}`, route);
  const max = options.maxMessageBytes ?? DEFAULT_MAX_MESSAGE;
  const around = options.around ?? ((_call, run) => run());
  const beforeAnswer = options.beforeAnswer ?? (() => undefined);

  const h2 = http2.createServer({
    settings: {
      initialWindowSize: STREAM_WINDOW,
      maxConcurrentStreams: options.maxCallsPerConnection ?? 4096,
      maxFrameSize: 1 << 18,
      maxHeaderListSize: 64 << 10,
    },
    streamResetBurst: RESET_BURST,
    streamResetRate: RESET_RATE,
    maxSessionMemory: 256,
  });
  const sessions = new Set<http2.ServerHttp2Session>();
  let accepting: Connection | undefined;
  h2.on("session", (session) => {
    sessions.add(session);
    session.setLocalWindowSize(SESSION_WINDOW);
    session.on("close", () => sessions.delete(session));
    const connection = accepting!;
    session.on("stream", (stream, _headers, _flags, raw) => {
      connection.calls++;
      stream.once("close", () => connection.calls--);
      // Errors of a stream reach its reader or writer; without a listener they would end the process.
      stream.on("error", () => {});
      answer(stream, metadataOf(raw as unknown as string[]), routes, max, { around, beforeAnswer }).catch(
        (error) => {
          log.error("call failed outside its handler", { error: String(error) });
          stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
        },
      );
    });
  });
  h2.on("sessionError", (error) => log.debug("connection failed", { error: error.message }));

  let h1: http.Server | undefined;
  const plain = () => {
    // Importing node:http as a module would load everything it depends on (fetch, WebSocket): 13 ms of every start.
    if (h1 !== undefined) return h1;
    const registry = createRegistry(...options.services.map((s) => s.desc.file));
    h1 = process.getBuiltinModule("node:http").createServer((request, response) => {
      void answerJson(request, response, {
        routes,
        max,
        around,
        beforeAnswer,
        registry,
        pages: options.pages ?? {},
      });
    });
    return h1;
  };

  const connections = new Connections({ max: options.maxConnections ?? 1024, peerOf: options.peerOf });
  const listener = net.createServer((socket) =>
    connections.accept(socket, (connection, protocol) => {
      if (protocol === "h1") {
        plain().emit("connection", socket);
        socket.resume();
        return;
      }
      // The session is created, and its event emitted, before this returns.
      accepting = connection;
      h2.emit("connection", socket);
      accepting = undefined;
    }),
  );
  await listen(listener, options);
  const watch = setInterval(() => void remake(listener, options), SOCKET_CHECK_MS).unref();

  return {
    path: options.path,
    close: async (graceMs = 1000) => {
      clearInterval(watch);
      const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
      for (const session of sessions) session.close();
      h1?.closeIdleConnections();
      const timer = setTimeout(() => {
        for (const session of sessions) session.destroy();
        connections.destroy();
      }, graceMs);
      await closed;
      clearTimeout(timer);
    },
  };
}

/** Recreates the socket when it has been removed. Connections continue; a socket of another process is left alone. */
async function remake(listener: net.Server, options: ServeOptions): Promise<void> {
  if (statSync(options.path, { throwIfNoEntry: false }) !== undefined) return;
  log.warn("the socket was removed; it is made again", { path: options.path });
  // It stops listening at once, but its callback waits for its connections to end.
  if (listener.listening) listener.close();
  try {
    await listen(listener, options);
  } catch (error) {
    log.error("the socket could not be made again", { path: options.path, error: String(error) });
  }
}

async function listen(listener: net.Server, options: ServeOptions): Promise<void> {
  const { path } = options;
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH)
    throw new BerthError(
      "invalid_argument",
      `socket path is ${Buffer.byteLength(path)} bytes long, at most ${MAX_SOCKET_PATH} are possible: ${path}`,
      { path, hint: "choose a shorter path" },
    );
  await removeStale(path);
  // The umask makes the socket 0660 from the start; no other thread of the process creates files now.
  const mask = process.umask(0o117);
  try {
    await new Promise<void>((resolve, reject) => {
      listener.once("error", reject);
      listener.listen({ path, backlog: 1024 }, resolve);
    });
  } catch (cause) {
    throw new BerthError(
      BerthError.from(cause).code,
      `cannot listen on ${path}: ${(cause as Error).message}`,
      {
        stage: "listen",
        path,
        cause,
      },
    );
  } finally {
    process.umask(mask);
  }
  chmodSync(path, 0o660);
  if (options.uid !== undefined || options.gid !== undefined)
    chownSync(path, options.uid ?? process.getuid?.() ?? 0, options.gid ?? process.getgid?.() ?? 0);
}

/** Removes a socket without a listener; refuses to take over one that is in use. */
async function removeStale(path: string): Promise<void> {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket())
    throw new BerthError("failed_precondition", `${path} exists and is not a socket`, {
      path,
      hint: "choose another address or remove the file",
    });
  const inUse = await new Promise<boolean>((resolve) => {
    const probe = net.connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.on("error", () => resolve(false));
  });
  if (inUse)
    throw new BerthError("failed_precondition", `another process is already listening on ${path}`, {
      stage: "listen",
      path,
      hint: "stop it first, or choose another address",
    });
  unlinkSync(path);
}

/** The embedder's callbacks around calls. */
type Hooks = Required<Pick<ServeOptions, "around" | "beforeAnswer">>;

async function answer(
  stream: http2.ServerHttp2Stream,
  headers: Metadata,
  routes: ReadonlyMap<string, Route>,
  max: number,
  hooks: Hooks,
): Promise<void> {
  const type = headers["content-type"];
  if (
    headers[":method"] !== "POST" ||
    type === undefined ||
    !/^application\/grpc(\+proto)?($|;)/.test(type)
  ) {
    stream.respond({ ":status": 415, "accept-post": "application/grpc" }, { endStream: true });
    stream.close(http2.constants.NGHTTP2_NO_ERROR);
    return;
  }
  const reply = new Reply(stream, headers[DETAILS_HEADER] !== undefined);
  const route = routes.get(headers[":path"] ?? "");
  let call: Call | undefined;
  try {
    if (route === undefined)
      throw new BerthError("unimplemented", `unknown method ${headers[":path"]}`, {
        hint: "the client may be newer than the daemon",
      });
    const encoding = encodingOf(headers["grpc-encoding"]);
    if (encoding === "gzip" && /\bgzip\b/.test(headers["grpc-accept-encoding"] ?? "gzip"))
      reply.encoding = "gzip";
    call = new Call(route.method, headers, parseTimeout(headers["grpc-timeout"]), (expired) =>
      reply.fail(expired),
    );
    stream.on("close", () => {
      call?.abort(new BerthError("canceled", "the client canceled the call"));
      call?.end();
    });
    if (route.run === undefined) throw refusalOf(route);
    await dispatch(route, call, readMessages(stream, max, encoding), reply, hooks);
    reply.succeed();
  } catch (error) {
    reply.fail(call?.aborted ?? error);
  } finally {
    call?.end();
  }
}

async function dispatch(
  route: Route,
  call: Call,
  reader: MessageQueue,
  reply: Reply,
  { around, beforeAnswer }: Hooks,
): Promise<void> {
  const { method } = route;
  const run = route.run!;
  const encode = (message: unknown) =>
    toBinary(method.output, create(method.output, message as Parameters<typeof create>[1]));
  const single = async () => {
    const first = await reader.next();
    if (first.done)
      throw new BerthError("internal", `${method.name} was called without a request message`, {
        stage: "grpc",
      });
    return decode(method, first.value);
  };
  const many = async function* () {
    for await (const bytes of reader) yield decode(method, bytes);
  };
  switch (method.methodKind) {
    case "unary": {
      const request = await single();
      const message = await around(call, async () => run(request, call));
      await beforeAnswer();
      await reply.send(encode(message));
      return;
    }
    case "client_streaming": {
      const message = await around(call, async () => run(many(), call));
      await beforeAnswer();
      await reply.send(encode(message));
      return;
    }
    default: {
      const input = method.methodKind === "server_streaming" ? await single() : many();
      const output = run(input, call) as AsyncIterable<unknown>;
      reply.start();
      for await (const message of output) {
        if (call.aborted !== undefined) throw call.aborted;
        await beforeAnswer();
        await reply.send(encode(message));
      }
    }
  }
}

function decode(method: Route["method"], bytes: Uint8Array): unknown {
  try {
    return fromBinary(method.input, bytes);
  } catch (cause) {
    throw new BerthError("internal", `request is not a valid ${method.input.typeName}`, {
      stage: "grpc",
      cause,
    });
  }
}

/** The response to a call: headers, messages, and exactly one status. */
class Reply {
  encoding: Encoding = "identity";
  readonly #stream: http2.ServerHttp2Stream;
  readonly #details: boolean;
  #started = false;
  #done = false;
  #status: http2.OutgoingHttpHeaders = { "grpc-status": "0" };

  /** `details`: the client asked for error details besides code and message. */
  constructor(stream: http2.ServerHttp2Stream, details: boolean) {
    this.#stream = stream;
    this.#details = details;
  }

  /** Sends the response headers, unless they have been sent. */
  start(): void {
    if (this.#started || this.#stream.destroyed || this.#stream.closed) return;
    this.#started = true;
    const headers: http2.OutgoingHttpHeaders = { ":status": 200, "content-type": "application/grpc" };
    if (this.encoding !== "identity") headers["grpc-encoding"] = this.encoding;
    this.#stream.once("wantTrailers", () => {
      if (this.#stream.destroyed) return;
      this.#stream.sendTrailers(this.#status);
      this.#hangUp();
    });
    this.#stream.respond(headers, { waitForTrailers: true });
  }

  send(message: Uint8Array): Promise<void> | void {
    if (this.#done) return;
    this.start();
    return writeMessage(this.#stream, message, this.encoding);
  }

  succeed(): void {
    this.#end({ "grpc-status": "0" });
  }

  fail(error: unknown): void {
    this.#end({ ...statusOf(error, this.#details) });
  }

  #end(status: http2.OutgoingHttpHeaders): void {
    const stream = this.#stream;
    if (this.#done || stream.destroyed || stream.closed) return;
    this.#done = true;
    if (this.#started) {
      this.#status = status;
      stream.end();
    } else {
      stream.respond({ ":status": 200, "content-type": "application/grpc", ...status }, { endStream: true });
    }
    if (!this.#started) stream.once("finish", () => this.#hangUp());
  }

  // A client that is still sending would wait for a window that never opens; RFC 9113, 8.1 lets a server that has
  // answered reset the stream. Only after the status: a closed stream sends no trailers any more.
  #hangUp(): void {
    const stream = this.#stream;
    if (stream.readableEnded || stream.destroyed) return;
    stream.resume();
    setImmediate(() => {
      if (!stream.destroyed) stream.close(http2.constants.NGHTTP2_NO_ERROR);
    });
  }
}
