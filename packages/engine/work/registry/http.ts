/** HTTP for registries: streaming, credentials for their own origin only, and limits on every wait. */
import type * as http from "node:http";
import type { Readable } from "node:stream";
import { BerthError, present, VERSION } from "@berth/base";
import type { HostTls } from "./hosts.ts";
import { TlsAgents } from "./tls.ts";

/** Headers by name; a list is sent as a header each. */
export type HttpHeaders = Readonly<Record<string, string | readonly string[]>>;

/** A request. */
export interface HttpRequest {
  method: string;
  url: URL;
  headers?: HttpHeaders;
  /**
   * Credentials and other headers for the origin (scheme, host and port) of `url` only: dropped in a redirect
   * elsewhere.
   */
  confidential?: HttpHeaders;
  /** Settings for that origin only, too. */
  tls?: HostTls | undefined;
  /** Time for a connection, in milliseconds. */
  dialTimeout?: number | undefined;
  /** Sent unmodified; a stream needs a content-length header. */
  body?: Buffer | AsyncIterable<Uint8Array>;
  signal?: AbortSignal | undefined;
}

/** A response whose body is unread: read it, or call `body.destroy()`. */
export interface HttpAnswer {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: Readable;
  /** The final URL, after redirects. */
  url: URL;
}

/** A peer that is silent for this long counts as dead. */
const IDLE_MS = 60_000;
const CONNECT_MS = 20_000;
const MAX_REDIRECTS = 10;
/** Limit of bodies that are read as a whole. */
const MAX_TEXT = 8 << 20;

// HTTP_PROXY, HTTPS_PROXY and NO_PROXY are honoured, as in other registry clients.
const options = { keepAlive: true, maxSockets: 32, timeout: IDLE_MS, proxyEnv: process.env };
// Not imported as modules: that would load all their dependencies (fetch, WebSocket).
const { Agent: PlainAgent, request: plainRequest } = process.getBuiltinModule("node:http");
const { request: tlsRequest } = process.getBuiltinModule("node:https");
const plainAgent = new PlainAgent(options);
const tlsAgents = new TlsAgents(options);

/** Sends a request and follows redirects, but not from https to http. */
export async function send(request: HttpRequest): Promise<HttpAnswer> {
  let { url } = request;
  const home = url.origin;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const { confidential, tls } = url.origin === home ? request : {};
    const headers = { "user-agent": `berth/${VERSION}`, ...request.headers, ...confidential };
    const answer = await once({ ...request, url, headers, tls });
    const { location } = answer.headers;
    const redirected = [301, 302, 303, 307, 308].includes(answer.status) && location !== undefined;
    // A body cannot be sent twice; uploads handle their Location themselves.
    if (!redirected || (request.method !== "GET" && request.method !== "HEAD")) return answer;
    answer.body.destroy();
    const next = new URL(location, url);
    refuseDowngrade(url, next, "redirects");
    url = next;
  }
  throw new BerthError("unavailable", `${request.url.host} redirects more than ${MAX_REDIRECTS} times`, {
    stage: "registry",
  });
}

/** Refuses a downgrade from https to http: an eavesdropper could read and change the traffic. */
export function refuseDowngrade(from: URL, to: URL, how: string): void {
  if (from.protocol === "https:" && to.protocol !== "https:")
    throw new BerthError("permission_denied", `${from.host} ${how} from https to http, to ${to.host}`, {
      stage: "registry",
      hint: "the registry, or a proxy before it, is not set up rightly: it does not know that it is reached by https",
    });
}

function once(request: HttpRequest): Promise<HttpAnswer> {
  const { url, method, headers = {}, body, signal, tls, dialTimeout = CONNECT_MS } = request;
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw new BerthError("invalid_argument", `cannot speak ${url.protocol} to a registry`, {
      stage: "registry",
    });
  const secure = url.protocol === "https:";
  const agent = secure ? tlsAgents.agent(tls) : plainAgent;
  return new Promise((resolve, reject) => {
    const outgoing = (secure ? tlsRequest : plainRequest)(url, {
      method,
      headers: {
        ...(headers as http.OutgoingHttpHeaders),
        ...(Buffer.isBuffer(body) ? { "content-length": String(body.length) } : {}),
      },
      agent,
      ...present({ signal }),
    });
    const connecting = setTimeout(
      () => outgoing.destroy(new Error(`no connection within ${dialTimeout / 1000} s`)),
      dialTimeout,
    );
    outgoing.on("socket", (socket) => {
      if (!socket.connecting) clearTimeout(connecting);
      else socket.once(secure ? "secureConnect" : "connect", () => clearTimeout(connecting));
    });
    outgoing.setTimeout(IDLE_MS, () => outgoing.destroy(new Error(`silent for ${IDLE_MS / 1000} s`)));
    outgoing.on("error", (cause) => {
      clearTimeout(connecting);
      reject(signal?.aborted ? canceled(signal, cause) : unreachable(url, cause));
    });
    outgoing.on("response", (incoming) => {
      clearTimeout(connecting);
      resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: incoming, url });
    });
    if (body === undefined || Buffer.isBuffer(body)) outgoing.end(body);
    else
      pump(body, outgoing).catch((error) =>
        outgoing.destroy(error instanceof Error ? error : new Error(String(error))),
      );
  });
}

async function pump(source: AsyncIterable<Uint8Array>, to: http.ClientRequest): Promise<void> {
  for await (const chunk of source) {
    if (to.destroyed) return;
    if (!to.write(chunk))
      await new Promise<void>((resolve) => {
        const done = () => {
          to.off("drain", done);
          to.off("close", done);
          resolve();
        };
        to.on("drain", done);
        to.on("close", done);
      });
  }
  to.end();
}

function canceled(signal: AbortSignal, cause: unknown): BerthError {
  return signal.reason instanceof BerthError
    ? signal.reason
    : new BerthError("canceled", "the transfer was canceled", { cause });
}

const UNKNOWN_CA = "add the registry's CA to the system's, or name it as ca in the registry's hosts.toml";
const HINTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "is the registry running, and on this port?",
  ENOTFOUND: "check the registry's name and this machine's DNS",
  EAI_AGAIN: "check this machine's DNS",
  EPROTO: "the registry may speak plain HTTP: use --plain-http",
  ERR_SSL_WRONG_VERSION_NUMBER: "the registry may speak plain HTTP: use --plain-http",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNKNOWN_CA,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNKNOWN_CA,
  SELF_SIGNED_CERT_IN_CHAIN: UNKNOWN_CA,
  DEPTH_ZERO_SELF_SIGNED_CERT: UNKNOWN_CA,
};

/**
 * The error for an unreachable registry: "unavailable", or "failed_precondition" where one side does not believe the
 * other, which no second attempt changes.
 */
function unreachable(url: URL, cause: unknown): BerthError {
  const { code = "", message } = cause as NodeJS.ErrnoException;
  const alert = /ssl\/tls alert ([^:]+)/.exec(message)?.[1];
  const distrust = alert !== undefined || /CERT|UNABLE_TO_|^ERR_TLS_/.test(code);
  // An AggregateError of failed addresses has its reasons inside.
  const reason = message || ((cause as AggregateError).errors?.[0] as Error | undefined)?.message || code;
  const why = alert === undefined ? reason : `it ended the connection with the TLS alert "${alert}"`;
  const hint =
    alert !== undefined && /certificate/.test(alert)
      ? "it may want a client certificate: client in the registry's hosts.toml"
      : HINTS[code];
  return new BerthError(
    distrust ? "failed_precondition" : "unavailable",
    `cannot reach registry ${url.host}: ${why}`,
    {
      stage: "registry",
      cause,
      ...(/^E[A-Z]+$/.test(code) ? { errno: code } : {}),
      ...present({ hint }),
    },
  );
}

/** Reads a whole body; "resource_exhausted" beyond `limit` bytes. */
export async function readAll(answer: HttpAnswer, limit = MAX_TEXT): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of answer.body) {
      size += chunk.length;
      if (size > limit)
        throw new BerthError(
          "resource_exhausted",
          `${answer.url.host} sent more than ${limit} bytes for one document`,
          {
            stage: "registry",
          },
        );
      chunks.push(chunk);
    }
  } catch (cause) {
    if (cause instanceof BerthError) throw cause;
    throw new BerthError("unavailable", `${answer.url.host} ended its answer after ${size} bytes`, {
      stage: "registry",
      cause,
      hint: "try again",
    });
  }
  return Buffer.concat(chunks);
}
