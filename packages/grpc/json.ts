/**
 * The same methods for people: JSON over HTTP/1.1 POST, for `curl --unix-socket`.
 *
 * `POST /containerd.services.version.v1.Version/Version` with a JSON body (or none) answers JSON; a streaming method
 * answers one JSON document per line. Errors have an HTTP status and `{code, message, ...}`.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { BerthError, type ErrorCode } from "@berth/base";
import { answerMessage, Call, type CallContext, metadataOf, type Route, refusalOf } from "@berth/rpc";
import { fromJson, type JsonValue, type Registry, toJson } from "@bufbuild/protobuf";
import { parseTimeout } from "./timeout.ts";

/** Text pages served with GET, by path. */
export type Pages = Readonly<Record<string, { type: string; text: () => string | Promise<string> }>>;

/** The server's part: routes, limits, pages and callbacks. */
export interface JsonBackend {
  readonly routes: ReadonlyMap<string, Route>;
  /** Largest request body, in bytes. */
  readonly max: number;
  readonly registry: Registry;
  /** Pages served with GET, by path. */
  readonly pages: Pages;
  readonly around: <T>(call: CallContext, run: () => Promise<T>) => Promise<T>;
  readonly beforeAnswer: () => Promise<void> | undefined;
}

const HTTP_STATUS: Readonly<Partial<Record<ErrorCode, number>>> = {
  invalid_argument: 400,
  out_of_range: 400,
  unauthenticated: 401,
  permission_denied: 403,
  not_found: 404,
  unimplemented: 404,
  already_exists: 409,
  aborted: 409,
  failed_precondition: 412,
  resource_exhausted: 429,
  canceled: 499,
  unavailable: 503,
  deadline_exceeded: 504,
};

/** Answers one HTTP/1.1 request. */
export async function answerJson(
  request: IncomingMessage,
  response: ServerResponse,
  backend: JsonBackend,
): Promise<void> {
  let call: Call | undefined;
  try {
    const path = (request.url ?? "").split("?")[0]!;
    const route = backend.routes.get(path);
    const page = Object.hasOwn(backend.pages, path) ? backend.pages[path] : undefined;
    if (page !== undefined && request.method === "GET") {
      const text = await page.text();
      response.writeHead(200, { "content-type": page.type });
      response.end(text);
      return;
    }
    if (request.method !== "POST")
      throw new BerthError("unimplemented", `${request.method} ${path} is not supported`, {
        hint: "POST a JSON body to /<service>/<Method>",
      });
    if (route === undefined) throw new BerthError("unimplemented", `unknown method ${path}`);
    const headers = metadataOf(request.rawHeaders);
    call = new Call(route.method, headers, parseTimeout(headers["grpc-timeout"]), (expired) =>
      fail(response, expired),
    );
    response.on("close", () => {
      call?.abort(new BerthError("canceled", "the client went away"));
      call?.end();
    });
    const body = await readBody(request, backend.max);
    await run(route, call, body, response, backend);
  } catch (error) {
    fail(response, call?.aborted ?? error);
  } finally {
    call?.end();
  }
}

async function readBody(request: IncomingMessage, max: number): Promise<JsonValue> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > max)
      throw new BerthError("resource_exhausted", `request body is larger than the limit of ${max} bytes`);
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString("utf8").trim();
  if (text === "") return {};
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new BerthError("invalid_argument", `request body is not JSON: ${(cause as Error).message}`, {
      cause,
    });
  }
}

async function run(
  route: Route,
  call: Call,
  body: JsonValue,
  response: ServerResponse,
  { registry, around, beforeAnswer }: JsonBackend,
): Promise<void> {
  const { method } = route;
  if (route.run === undefined) throw refusalOf(route);
  const execute = route.run;
  const show = (message: unknown) =>
    JSON.stringify(toJson(method.output, answerMessage(method.output, message), { registry }));
  const read = (value: JsonValue) => {
    try {
      return fromJson(method.input, value, { registry });
    } catch (cause) {
      throw new BerthError(
        "invalid_argument",
        `request is not a ${method.input.typeName}: ${(cause as Error).message}`,
      );
    }
  };
  // An array as body is a stream of requests, for client-streaming methods.
  const many = async function* () {
    for (const value of Array.isArray(body) ? body : [body]) yield read(value);
  };
  if (method.methodKind === "unary" || method.methodKind === "client_streaming") {
    const input = method.methodKind === "unary" ? read(body) : many();
    const message = await around(call, async () => execute(input, call));
    await beforeAnswer();
    const text = `${show(message)}\n`;
    response.writeHead(200, { "content-type": "application/json" }).end(text);
    return;
  }
  const input = method.methodKind === "server_streaming" ? read(body) : many();
  for await (const message of execute(input, call) as AsyncIterable<unknown>) {
    if (call.aborted !== undefined) throw call.aborted;
    await beforeAnswer();
    if (!response.headersSent) response.writeHead(200, { "content-type": "application/x-ndjson" });
    if (!response.write(`${show(message)}\n`))
      await new Promise((resolve) => response.once("drain", resolve));
  }
  if (!response.headersSent) response.writeHead(200, { "content-type": "application/x-ndjson" });
  response.end();
}

function fail(response: ServerResponse, thrown: unknown): void {
  if (response.destroyed || response.writableEnded) return;
  const { code, message, stage, syscall, errno, path, hint } = BerthError.from(thrown);
  const text = `${JSON.stringify({ code, message, stage, syscall, errno, path, hint })}\n`;
  // Once a stream of lines has begun, its error is its last line.
  if (!response.headersSent)
    response.writeHead(HTTP_STATUS[code] ?? 500, { "content-type": "application/json" });
  response.end(text);
}
