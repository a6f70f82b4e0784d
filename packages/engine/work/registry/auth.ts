/** Credentials and tokens: the Bearer and Basic schemes of the distribution specification. */
import { BerthError } from "@berth/base";
import type { HostTls } from "./hosts.ts";
import { type HttpAnswer, readAll, refuseDowngrade, send } from "./http.ts";

/** A user's credentials. */
export type Credentials =
  | { kind: "password"; username: string; secret: string }
  | { kind: "refresh"; secret: string }
  | { kind: "header"; value: string };

/** Asks for credentials when a registry requires them; undefined for none. */
export type AskCredentials = (
  host: string,
  challenges: readonly string[],
) => Promise<Credentials | undefined>;

/** How a token is asked for: with the TLS settings of its registry. */
export interface TokenRequest {
  signal?: AbortSignal | undefined;
  tls?: HostTls;
}

interface Challenge {
  scheme: string;
  parameters: Record<string, string>;
}

/** Parses WWW-Authenticate headers (RFC 9110, 11.6.1). */
export function parseChallenges(header: string): Challenge[] {
  const out: Challenge[] = [];
  const pattern = /([A-Za-z][A-Za-z0-9_-]*)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+)))?\s*,?\s*/y;
  for (let match = pattern.exec(header); match !== null; match = pattern.exec(header)) {
    const [, name, quoted, plain] = match;
    const value = quoted === undefined ? plain : quoted.replace(/\\(.)/g, "$1");
    if (value === undefined) out.push({ scheme: name!.toLowerCase(), parameters: {} });
    else if (out.length > 0) out.at(-1)!.parameters[name!.toLowerCase()] = value;
  }
  return out;
}

/** Creates Authorization headers for one registry. */
export class Authorizer {
  readonly #host: string;
  readonly #ask: AskCredentials;
  /** Headers by scope; the last one is tried first for a new request. */
  readonly #headers = new Map<string, string>();
  #credentials: Promise<Credentials | undefined> | undefined;

  constructor(host: string, ask: AskCredentials) {
    this.#host = host;
    this.#ask = ask;
  }

  /** The cached header for a scope, if there is one. */
  header(scope: string): string | undefined {
    return this.#headers.get(scope);
  }

  /** Answers a challenge; returns false if nothing is left to try. */
  async answer(challenged: HttpAnswer, scope: string, how: TokenRequest = {}): Promise<boolean> {
    const header = challenged.headers["www-authenticate"];
    if (header === undefined) return false;
    const before = this.#headers.get(scope);
    const challenges = parseChallenges(header);
    this.#credentials ??= this.#ask(this.#host, [header]);
    const credentials = await this.#credentials;
    if (credentials?.kind === "header") this.#headers.set(scope, credentials.value);
    else {
      const bearer = challenges.find((c) => c.scheme === "bearer");
      if (bearer !== undefined)
        this.#headers.set(scope, await fetchToken(challenged.url, bearer, scope, credentials, how));
      else if (challenges.some((c) => c.scheme === "basic") && credentials?.kind === "password")
        this.#headers.set(scope, basic(credentials.username, credentials.secret));
      else return false;
    }
    return this.#headers.get(scope) !== before;
  }
}

function basic(username: string, secret: string): string {
  return `Basic ${Buffer.from(`${username}:${secret}`).toString("base64")}`;
}

/**
 * A registry names its token server, possibly on another host, and the credentials are sent there. It must be as well
 * protected as the registry: no http if the registry has https, and http only on the same machine.
 */
function checkRealm(registry: URL, realm: URL, credentials: Credentials | undefined): void {
  refuseDowngrade(registry, realm, "sends credentials");
  if (credentials === undefined || realm.protocol === "https:" || realm.hostname === registry.hostname)
    return;
  throw new BerthError(
    "permission_denied",
    `${registry.host} names a token server on another machine without https: ${realm.host}`,
    { stage: "registry", hint: "credentials would be readable on the way: use https for the token server" },
  );
}

async function fetchToken(
  registry: URL,
  { parameters }: Challenge,
  scope: string,
  credentials: Credentials | undefined,
  { signal, tls }: TokenRequest,
): Promise<string> {
  const { realm = "", service, scope: wanted } = parameters;
  let url: URL;
  try {
    url = new URL(realm);
  } catch {
    throw new BerthError(
      "unauthenticated",
      `the registry names no valid token server: ${JSON.stringify(realm)}`,
      {
        stage: "registry",
      },
    );
  }
  checkRealm(registry, url, credentials);
  const scopes = [...new Set([wanted, scope].filter((s): s is string => s !== undefined && s !== ""))];
  // The registry's CAs count for its token server, too; what is left out for itself is not for another machine.
  const trust =
    tls && url.hostname !== registry.hostname ? { ca: tls.ca, client: [], skipVerify: false } : tls;
  let answer: HttpAnswer;
  if (credentials?.kind === "refresh") {
    const form = new URLSearchParams({
      grant_type: "refresh_token",
      refresh_token: credentials.secret,
      client_id: "berth",
      service: service ?? "",
      scope: scopes.join(" "),
    });
    answer = await send({
      method: "POST",
      url,
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: Buffer.from(form.toString()),
      signal,
      tls: trust,
    });
  } else {
    if (service !== undefined) url.searchParams.set("service", service);
    for (const one of scopes) url.searchParams.append("scope", one);
    const confidential: Record<string, string> =
      credentials?.kind === "password"
        ? { authorization: basic(credentials.username, credentials.secret) }
        : {};
    answer = await send({ method: "GET", url, confidential, signal, tls: trust });
  }
  const body = await readAll(answer);
  if (answer.status !== 200)
    throw new BerthError("unauthenticated", `token server ${url.host} answered ${answer.status}`, {
      stage: "registry",
      hint: "check the user name and password for this registry",
    });
  let token: unknown;
  try {
    const reply = JSON.parse(body.toString("utf8")) as { token?: unknown; access_token?: unknown };
    token = reply.token ?? reply.access_token;
  } catch {
    token = undefined;
  }
  if (typeof token !== "string" || token === "")
    throw new BerthError("unauthenticated", `token server ${url.host} answered without a token`, {
      stage: "registry",
    });
  return `Bearer ${token}`;
}
