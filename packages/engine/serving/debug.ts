/**
 * The debug socket, root's alone: what the process is doing, for somebody who wants to know why.
 *
 *     GET /debug/vars                 memory, time, handles and operations in flight, as JSON
 *     GET /debug/profile?seconds=10   a CPU profile, for Chromium's developer tools
 *     GET /debug/heap                 a heap snapshot, likewise
 *     GET, PUT /debug/log-level       trace, debug, info, warn or error
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { dirname } from "node:path";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { COMMIT, configureLog, isLogLevel, log, logLevel, VERSION } from "@berth/base";
import { keepSocket, listen } from "@berth/rpc/listen";
import { makeFolder } from "../base/core/folder.ts";

/** What the page shows of the daemon. */
export interface DebugParts {
  /** Names of operations in flight, with the milliseconds since they began. */
  operations(): readonly { name: string; ms: number }[];
}

const MAX_SECONDS = 300;

/** Serves until the result is called. */
export async function serveDebug(path: string, parts: DebugParts): Promise<() => Promise<void>> {
  makeFolder(dirname(path), "the debug socket's directory");
  const server = process.getBuiltinModule("node:http").createServer((request, response) => {
    answer(request, response, parts).catch((error) => {
      log.debug("a debug request has failed", { url: request.url, error: String(error) });
      response.destroy();
    });
  });
  server.maxConnections = 8;
  const socket = { path, mode: 0o600 };
  await listen(server, socket);
  const leave = keepSocket(server, socket);
  return () => {
    leave();
    return new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  };
}

async function answer(request: IncomingMessage, response: ServerResponse, parts: DebugParts): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://debug");
  const reply = (status: number, body: unknown) => {
    response.writeHead(status, {
      "content-type": typeof body === "string" ? "text/plain" : "application/json",
    });
    response.end(typeof body === "string" ? `${body}\n` : `${JSON.stringify(body, undefined, 2)}\n`);
  };
  switch (`${request.method} ${pathname}`) {
    case "GET /debug/vars":
      return reply(200, variables(parts));
    case "GET /debug/profile": {
      const seconds = Number(searchParams.get("seconds") ?? 10);
      if (!(seconds > 0 && seconds <= MAX_SECONDS))
        return reply(400, `seconds: found ${searchParams.get("seconds")}, expected 1 to ${MAX_SECONDS}`);
      return reply(200, await profile(seconds));
    }
    case "GET /debug/heap": {
      const { getHeapSnapshot } = await import("node:v8");
      response.writeHead(200, { "content-type": "application/json" });
      return pipeline(getHeapSnapshot(), response);
    }
    case "GET /debug/log-level":
      return reply(200, logLevel());
    case "PUT /debug/log-level": {
      const level = (await text(request)).trim();
      if (!isLogLevel(level))
        return reply(400, `found ${JSON.stringify(level)}, expected trace, debug, info, warn or error`);
      configureLog({ level });
      log.info("the log level was changed", { level });
      return reply(200, level);
    }
    default:
      return reply(
        404,
        "GET /debug/vars, /debug/profile?seconds=N, /debug/heap, /debug/log-level; PUT /debug/log-level. Go's pprof is not here.",
      );
  }
}

function variables({ operations }: DebugParts) {
  const handles: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) handles[kind] = (handles[kind] ?? 0) + 1;
  return {
    version: VERSION,
    commit: COMMIT,
    pid: process.pid,
    uptimeSeconds: process.uptime(),
    memory: process.memoryUsage(),
    resources: process.resourceUsage(),
    eventLoop: performance.eventLoopUtilization(),
    handles,
    operations: operations(),
  };
}

async function profile(seconds: number): Promise<unknown> {
  const { Session } = await import("node:inspector/promises");
  const session = new Session();
  session.connect();
  try {
    await session.post("Profiler.enable");
    await session.post("Profiler.start");
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    return (await session.post("Profiler.stop")).profile;
  } finally {
    session.disconnect();
  }
}
