/** A registry's repository: the distribution specification, version 1.1, as far as pull and push need it. */
import type { Readable } from "node:stream";
import { BerthError, present } from "@berth/base";
import { apiHost, type Descriptor, isLoopback, MEDIA_TYPES, type Reference } from "@berth/oci";
import { digestOf } from "../../base/core/digest.ts";
import { type AskCredentials, Authorizer } from "./auth.ts";
import { type HttpAnswer, type HttpRequest, readAll, refuseDowngrade, send } from "./http.ts";

const { index, manifest, dockerIndex, dockerManifest } = MEDIA_TYPES;
const ACCEPT = [index, manifest, dockerIndex, dockerManifest, "*/*;q=0.1"].join(", ");

const TRIES = 5;
/** Longest Retry-After that is honoured, in seconds; beyond it the pull fails. */
const MAX_WAIT_S = 10;

/** How to reach a registry. */
export interface RegistryOptions {
  reference: Reference;
  /** Use http; loopback addresses always do. */
  plainHttp: boolean;
  ask: AskCredentials;
  /** Additional headers for every request to the registry itself. */
  headers?: Readonly<Record<string, string>>;
  signal?: AbortSignal | undefined;
}

/** One repository of a registry. */
export class Repository {
  readonly reference: Reference;
  readonly #base: string;
  readonly #origin: string;
  readonly #auth: Authorizer;
  readonly #signal: AbortSignal | undefined;
  readonly #headers: Readonly<Record<string, string>>;
  #actions = "pull";

  constructor(options: RegistryOptions) {
    this.reference = options.reference;
    const { host, repository } = options.reference;
    const scheme = options.plainHttp || isLoopback(host) ? "http" : "https";
    this.#base = `${scheme}://${apiHost(host)}/v2/${repository}`;
    this.#auth = new Authorizer(host, options.ask);
    this.#signal = options.signal;
    this.#origin = new URL(this.#base).origin;
    // A name in two spellings would be sent twice.
    this.#headers = Object.fromEntries(
      Object.entries(options.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]),
    );
  }

  /** Whether the client's request was cancelled. */
  get aborted(): boolean {
    return this.#signal?.aborted ?? false;
  }

  /** Requests tokens with push scope, too. */
  allowPush(): void {
    this.#actions = "pull,push";
  }

  /**
   * Sends a request; answers challenges; retries transient failures. Only the registry's own origin gets credentials,
   * and only its challenges are answered: redirect targets must not see them.
   */
  async #request(
    method: string,
    path: string | URL,
    more: { headers?: Record<string, string>; body?: () => HttpRequest["body"] } = {},
  ): Promise<HttpAnswer> {
    const url = path instanceof URL ? path : new URL(`${this.#base}${path}`);
    const scope = `repository:${this.reference.repository}:${this.#actions}`;
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
          ...(isHome
            ? {
                confidential: { ...this.#headers, ...present({ authorization }) },
              }
            : {}),
          ...present({ body }),
          signal: this.#signal,
        });
      } catch (error) {
        const { errno } = error as BerthError;
        // Refused at once or unknown to DNS: waiting does not help.
        if (attempt >= TRIES || errno === "ECONNREFUSED" || errno === "ENOTFOUND" || this.#signal?.aborted)
          throw error;
        await this.#pause(attempt);
        continue;
      }
      if (
        answer.status === 401 &&
        answer.url.origin === this.#origin &&
        challenged++ < 2 &&
        (await this.#auth.answer(answer, scope, this.#signal))
      ) {
        answer.body.destroy();
        continue;
      }
      const later = answer.status === 429 || answer.status >= 500;
      const wait = Number(answer.headers["retry-after"]);
      // A long Retry-After is reported at once.
      if (!later || attempt >= TRIES || wait > MAX_WAIT_S) return answer;
      answer.body.destroy();
      await this.#pause(attempt, wait);
    }
  }

  async #pause(attempt: number, seconds = Number.NaN): Promise<void> {
    const ms = Number.isFinite(seconds) ? seconds * 1000 : 250 * 2 ** (attempt - 1);
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(resolve, ms);
      this.#signal?.addEventListener(
        "abort",
        () => {
          clearTimeout(timer);
          reject(this.#signal?.reason);
        },
        { once: true },
      );
    });
  }

  /** The error for an unexpected response. */
  async #refused(answer: HttpAnswer, what: string): Promise<BerthError> {
    const { host, repository } = this.reference;
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

  /** Resolves the reference's tag (or digest) to a descriptor. */
  async resolve(): Promise<Descriptor> {
    const { tag, digest } = this.reference;
    const target = digest ?? tag!;
    const head = await this.#request("HEAD", `/manifests/${target}`, { headers: { accept: ACCEPT } });
    head.body.destroy();
    const length = Number(head.headers["content-length"]);
    const found = head.headers["docker-content-digest"];
    if (
      head.status === 200 &&
      typeof found === "string" &&
      length > 0 &&
      head.headers["content-type"] !== undefined
    ) {
      const mediaType = head.headers["content-type"].split(";")[0]!.trim();
      if (digest !== undefined && found !== digest) throw wrongDigest(this.reference.host, digest, found);
      return { mediaType, digest: found, size: length };
    }
    // The registry's HEAD response lacks headers: fetch the manifest instead.
    const got = await this.#request("GET", `/manifests/${target}`, { headers: { accept: ACCEPT } });
    if (got.status !== 200) throw await this.#refused(got, `manifest ${target}`);
    const body = await readAll(got);
    const computed = digestOf(body);
    if (digest !== undefined && computed !== digest) throw wrongDigest(this.reference.host, digest, computed);
    const declared = got.headers["content-type"]?.split(";")[0]?.trim();
    return { mediaType: declared ?? mediaTypeOf(body), digest: computed, size: body.length };
  }

  /** A manifest or index, checked against its descriptor. */
  async manifest(wanted: Descriptor): Promise<Buffer> {
    const answer = await this.#request("GET", `/manifests/${wanted.digest}`, {
      headers: { accept: `${wanted.mediaType}, ${ACCEPT}` },
    });
    if (answer.status !== 200) throw await this.#refused(answer, `manifest ${wanted.digest}`);
    const body = await readAll(answer);
    const computed = digestOf(body);
    if (computed !== wanted.digest) throw wrongDigest(this.reference.host, wanted.digest, computed);
    return body;
  }

  /**
   * A blob's bytes from `offset` on. `from` is where the response begins: registries may ignore the range and start
   * at 0.
   */
  async blob(wanted: Descriptor, offset: number): Promise<{ body: Readable; from: number }> {
    const headers: Record<string, string> = offset > 0 ? { range: `bytes=${offset}-` } : {};
    const answer = await this.#request("GET", `/blobs/${wanted.digest}`, { headers });
    if (answer.status === 206) {
      const from = Number(/^bytes (\d+)-/.exec(String(answer.headers["content-range"]))?.[1]);
      if (from === offset) return { body: answer.body, from };
      answer.body.destroy();
      throw new BerthError(
        "unavailable",
        `registry ${this.reference.host} answered with another range than was asked for`,
        { stage: "registry" },
      );
    }
    if (answer.status !== 200) throw await this.#refused(answer, `blob ${wanted.digest}`);
    return { body: answer.body, from: 0 };
  }

  /** Whether the repository has a blob. */
  async hasBlob(digest: string): Promise<boolean> {
    const answer = await this.#request("HEAD", `/blobs/${digest}`);
    answer.body.destroy();
    if (answer.status !== 200 && answer.status !== 404) throw await this.#refused(answer, `blob ${digest}`);
    return answer.status === 200;
  }

  /** Uploads a blob; `from` names another repository of the same registry that has it. */
  async pushBlob(blob: Descriptor, read: () => AsyncIterable<Uint8Array>, from?: string): Promise<void> {
    const mount = from === undefined ? "" : `?${new URLSearchParams({ mount: blob.digest, from })}`;
    const begun = await this.#request("POST", `/blobs/uploads/${mount}`, { body: () => Buffer.alloc(0) });
    if (begun.status === 201) {
      begun.body.destroy();
      return;
    }
    if (begun.status !== 202 || begun.headers.location === undefined)
      throw await this.#refused(begun, "an upload");
    begun.body.resume();
    const target = new URL(begun.headers.location, begun.url);
    refuseDowngrade(begun.url, target, "sends an upload");
    target.searchParams.set("digest", blob.digest);
    const put = await this.#request("PUT", target, {
      headers: { "content-type": "application/octet-stream", "content-length": String(blob.size) },
      body: read,
    });
    if (put.status !== 201) throw await this.#refused(put, `upload of ${blob.digest}`);
    put.body.resume();
  }

  /** Uploads a manifest under its digest, or under a tag. */
  async pushManifest(manifest: Descriptor, bytes: Buffer, tag?: string): Promise<void> {
    const put = await this.#request("PUT", `/manifests/${tag ?? manifest.digest}`, {
      headers: { "content-type": manifest.mediaType },
      body: () => bytes,
    });
    if (put.status !== 201) throw await this.#refused(put, `manifest ${tag ?? manifest.digest}`);
    put.body.resume();
  }
}

/** A manifest's declared media type, or the one its fields imply. */
function mediaTypeOf(bytes: Buffer): string {
  const parsed = JSON.parse(bytes.toString("utf8")) as { mediaType?: unknown; manifests?: unknown };
  if (typeof parsed.mediaType === "string") return parsed.mediaType;
  return Array.isArray(parsed.manifests) ? index : manifest;
}

function wrongDigest(host: string, wanted: string, found: string): BerthError {
  return new BerthError("data_loss", `registry ${host} sent ${found} instead of ${wanted}`, {
    stage: "registry",
    hint: "something between here and the registry changes content; do not trust it",
  });
}
