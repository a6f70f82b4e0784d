/**
 * A gRPC server on a unix socket, on node:http2.
 *
 * The same socket takes HTTP/1.1 POSTs with JSON bodies (json.ts); the first bytes of a connection decide which.
 */
import type http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import { log, present } from "@berth/base";
import { type CallContext, metadataOf, type Route, type Service } from "@berth/rpc";
import { keepSocket, listen, type SocketOptions } from "@berth/rpc/listen";
import { createRegistry } from "@bufbuild/protobuf";
import { answer, type CallObserver } from "./answer.ts";
import { type Connection, Connections } from "./connections.ts";
import { DEFAULT_MAX_MESSAGE } from "./frames.ts";
import { answerJson, type Pages } from "./json.ts";
import type { TcpOptions } from "./tls.ts";

/** How to serve. */
export interface ServeOptions extends SocketOptions {
  services: readonly Service[];
  /** Listen on TCP, too. */
  tcp?: TcpOptions;
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
  /** Counts the calls of gRPC. */
  calls?: CallObserver;
  /** Runs around each unary call, for tracing; must return what `run` returns. */
  around?: <T>(call: CallContext, run: () => Promise<T>) => Promise<T>;
}

/** A server that listens. */
export interface RunningServer {
  readonly path: string;
  /** Port of TCP. */
  readonly tcpPort?: number;
  /** Stops listening, sends clients GOAWAY, and after `graceMs` (default 1000) aborts the calls still in flight. */
  close(graceMs?: number): Promise<void>;
}

/**
 * Stream resets allowed at once, and per second, before the connection is closed. Cancelling is part of normal use,
 * but a call made only to be cancelled costs the server more than its client (rapid reset).
 */
const RESET_BURST = 10_000;
const RESET_RATE = 1000;
const DEFAULT_MAX_CONNECTIONS = 1024;
const STREAM_WINDOW = 1 << 20;
const SESSION_WINDOW = 8 << 20;

/** Listens on `options.path`; "failed_precondition" when another process already does. */
export async function serve(options: ServeOptions): Promise<RunningServer> {
  const routes = new Map<string, Route>();
  for (const { desc, routes: methods } of options.services)
    for (const route of methods) routes.set(`/${desc.typeName}/${route.method.name}`, route);
  const max = options.maxMessageBytes ?? DEFAULT_MAX_MESSAGE;
  const around = options.around ?? ((_call, run) => run());
  const { calls } = options;
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
      answer(stream, metadataOf(raw as unknown as string[]), routes, max, {
        around,
        beforeAnswer,
        calls,
      }).catch((error) => {
        log.error("call failed outside its handler", { error: String(error) });
        stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
      });
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

  const connections = new Connections({
    max: options.maxConnections ?? DEFAULT_MAX_CONNECTIONS,
    peerOf: options.peerOf,
  });
  const accept = (socket: net.Socket) =>
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
    });
  const tcp = options.tcp && (await import("./tls.ts")).listenTcp;
  // Whoever waits for the socket may go on to TCP: that has to be there by then.
  const overTcp = await tcp?.(options.tcp!, options.maxConnections ?? DEFAULT_MAX_CONNECTIONS, accept);
  const listener = net.createServer(accept);
  await listen(listener, options).catch(async (error) => {
    await overTcp?.close();
    throw error;
  });
  const leaveSocket = keepSocket(listener, options);

  return {
    path: options.path,
    ...present({ tcpPort: overTcp?.port }),
    close: async (graceMs = 1000) => {
      leaveSocket();
      const closed = Promise.all([
        new Promise<void>((resolve) => listener.close(() => resolve())),
        overTcp?.close(),
      ]);
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
