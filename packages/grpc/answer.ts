/** One call on the server's side, as packages/ttrpc/answer.ts is for ttrpc. */
import http2 from "node:http2";
import { BerthError, type ErrorCode } from "@berth/base";
import {
  Call,
  type CallContext,
  DETAILS_HEADER,
  encodeAnswer,
  type MessageQueue,
  type Metadata,
  type Route,
  refusalOf,
} from "@berth/rpc";
import { type DescMethod, fromBinary } from "@bufbuild/protobuf";
import { encodingOf } from "./frames.ts";
import { Reply } from "./reply.ts";
import { readMessages } from "./stream.ts";
import { parseTimeout } from "./timeout.ts";

/** Counts calls. */
export interface CallObserver {
  began(method: DescMethod): void;
  /** `code` is undefined for success. */
  ended(method: DescMethod, code: ErrorCode | undefined): void;
}

/** The embedder's callbacks around calls. */
export interface Hooks {
  calls: CallObserver | undefined;
  /** Runs around each unary call, for tracing; must return what `run` returns. */
  around: <T>(call: CallContext, run: () => Promise<T>) => Promise<T>;
  /** Awaited before a message of an answer is sent. */
  beforeAnswer: () => Promise<void> | undefined;
}

/** Answers one stream: finds its method, runs it, and sends messages and a status. */
export async function answer(
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
  let code: ErrorCode | undefined;
  if (route !== undefined) hooks.calls?.began(route.method);
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
    const thrown = call?.aborted ?? error;
    code = BerthError.from(thrown).code;
    reply.fail(thrown);
  } finally {
    call?.end();
    if (route !== undefined) hooks.calls?.ended(route.method, code);
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
  const encode = (message: unknown) => encodeAnswer(method.output, message);
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
