/** Requests to one host of a registry: challenges answered, transient failures tried again, refusals as errors. */
import { BerthError, present } from "@berth/base";
import type { Reference } from "@berth/oci";
import { type AskCredentials, Authorizer } from "./auth.ts";
import type { RegistryHost } from "./hosts.ts";
import { type HttpAnswer, type HttpHeaders, type HttpRequest, readAll, send } from "./http.ts";

const TRIES = 5;
/** Longest Retry-After that is honoured, in seconds; beyond it the request fails. */
const MAX_WAIT_S = 10;

/** What all hosts of a registry are asked with. */
export interface RequestContext {
  reference: Reference;
  ask: AskCredentials;
  /** The request's headers for the registry itself; mirrors do not get them. */
  headers: HttpHeaders;
  signal: AbortSignal | undefined;
}

/** A repository at one host. */
export class HostClient {
  /** Host and port. */
  readonly name: string;
  readonly host: RegistryHost;
  readonly #context: RequestContext;
  readonly #base: string;
  readonly #origin: string;
  readonly #auth: Authorizer;
  readonly #headers: HttpHeaders;
  /** Of a mirror: the registry that it stands for, as containerd tells it. */
  readonly #query: string;
  readonly #tries: number;
  #actions = "pull";

  /** Where another host can be asked instead (`hasNext`), a failure is not waited out. */
  constructor(host: RegistryHost, context: RequestContext, hasNext: boolean) {
    const { reference, ask, headers } = context;
    this.host = host;
    this.#context = context;
    this.#base = `${host.base}/${reference.repository}`;
    const { host: name, origin } = new URL(host.base);
    this.name = name;
    this.#origin = origin;
    this.#auth = new Authorizer(host.mirror ? name : reference.host, ask);
    // A name in two spellings would be sent twice.
    const own = Object.entries(host.mirror ? {} : headers).map(([key, value]) => [key.toLowerCase(), value]);
    this.#headers = { ...Object.fromEntries(own), ...host.headers };
    this.#query = host.mirror ? new URLSearchParams({ ns: reference.host }).toString() : "";
    this.#tries = hasNext ? 1 : TRIES;
  }

  /** Requests tokens with push scope, too. */
  allowPush(): void {
    this.#actions = "pull,push";
  }

  /**
   * Sends a request; `path` is below the repository. Only the host's own origin gets credentials, and only its
   * challenges are answered: redirect targets must not see them.
   */
  async request(
    method: string,
    path: string | URL,
    more: { headers?: Record<string, string>; body?: () => HttpRequest["body"] } = {},
  ): Promise<HttpAnswer> {
    const url = path instanceof URL ? path : this.#url(path);
    const { reference, signal } = this.#context;
    const { tls, dialTimeout } = this.host;
    const scope = `repository:${reference.repository}:${this.#actions}`;
    let challenged = 0;
    const isHome = url.origin === this.#origin;
    for (let attempt = 1; ; attempt++) {
      const authorization = this.#auth.header(scope);
      const body = more.body?.();
      let answer: HttpAnswer;
      try {
        answer = await send({
          method,
          url,
          ...present({ headers: more.headers }),
          ...(isHome ? { confidential: { ...this.#headers, ...present({ authorization }) }, tls } : {}),
          ...present({ body, dialTimeout }),
          signal,
        });
      } catch (error) {
        const { code, errno } = error as BerthError;
        // Refused at once, unknown to DNS or not to be believed: waiting does not help.
        const final = errno === "ECONNREFUSED" || errno === "ENOTFOUND" || code !== "unavailable";
        if (attempt >= this.#tries || final || signal?.aborted) throw error;
        await this.#pause(attempt);
        continue;
      }
      if (
        answer.status === 401 &&
        answer.url.origin === this.#origin &&
        challenged++ < 2 &&
        (await this.#auth.answer(answer, scope, { signal, ...present({ tls }) }))
      ) {
        answer.body.destroy();
        attempt--;
        continue;
      }
      const later = answer.status === 429 || answer.status >= 500;
      const wait = Number(answer.headers["retry-after"]);
      // A long Retry-After is reported at once.
      if (!later || attempt >= this.#tries || wait > MAX_WAIT_S) return answer;
      answer.body.destroy();
      await this.#pause(attempt, wait);
    }
  }

  #url(path: string): URL {
    const url = new URL(`${this.#base}${path}`);
    if (this.#query !== "") url.search = url.search === "" ? this.#query : `${url.search}&${this.#query}`;
    return url;
  }

  async #pause(attempt: number, seconds = Number.NaN): Promise<void> {
    const ms = Number.isFinite(seconds) ? seconds * 1000 : 250 * 2 ** (attempt - 1);
    const { signal } = this.#context;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(resolve, ms);
      signal?.addEventListener(
        "abort",
        () => {
          clearTimeout(timer);
          reject(signal.reason);
        },
        { once: true },
      );
    });
  }

  /** The error for an unexpected response. */
  async refused(answer: HttpAnswer, what: string): Promise<BerthError> {
    const { repository } = this.#context.reference;
    const host = this.name;
    const text = (await readAll(answer, 64 << 10).catch(() => Buffer.alloc(0))).toString("utf8");
    let detail = "";
    try {
      const { errors } = JSON.parse(text) as { errors?: { code?: string; message?: string }[] };
      detail = (errors ?? []).map((e) => `${e.code ?? ""} ${e.message ?? ""}`.trim()).join("; ");
    } catch {
      // Not in the specification's error format: the status has to do.
    }
    const message = `registry ${host} answered ${answer.status} for ${what}${detail === "" ? "" : ` (${detail})`}`;
    const facts = { stage: "registry" };
    switch (answer.status) {
      case 401:
        return new BerthError("unauthenticated", message, {
          ...facts,
          hint: `log in to ${host}, or check the name: ${repository}`,
        });
      case 403:
        return new BerthError("permission_denied", message, {
          ...facts,
          hint: `this account may not use ${repository}`,
        });
      case 404:
        return new BerthError("not_found", `${message}: not found`, {
          ...facts,
          hint: "check the image's name and tag",
        });
      case 429:
        return new BerthError("resource_exhausted", message, {
          ...facts,
          hint: `the registry limits requests: log in, or wait${answer.headers["retry-after"] ? ` (it says ${answer.headers["retry-after"]} s)` : ""}`,
        });
      default:
        return new BerthError(answer.status >= 500 ? "unavailable" : "internal", message, {
          ...facts,
          hint:
            answer.status >= 500
              ? "the registry, or a proxy before it, has a fault: try again later, or look at its log"
              : `check that ${host} is a registry`,
        });
    }
  }
}
