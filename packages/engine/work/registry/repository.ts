/** A registry's repository: the distribution specification, version 1.1, as far as pull and push need it. */
import type { Readable } from "node:stream";
import { BerthError, isCode, log } from "@berth/base";
import { type Descriptor, MEDIA_TYPES, type Reference } from "@berth/oci";
import { digestOf } from "../../base/core/digest.ts";
import type { AskCredentials } from "./auth.ts";
import { HostClient } from "./host-client.ts";
import { type Capability, type RegistryHost, registryItself } from "./hosts.ts";
import { readAll, refuseDowngrade } from "./http.ts";

const { index, manifest, dockerIndex, dockerManifest } = MEDIA_TYPES;
const ACCEPT = [index, manifest, dockerIndex, dockerManifest, "*/*;q=0.1"].join(", ");

/** How to reach a registry. */
export interface RegistryOptions {
  reference: Reference;
  /** In the order in which they are tried; default: the registry itself. */
  hosts?: readonly RegistryHost[];
  ask: AskCredentials;
  /** Additional headers for every request to the registry itself. */
  headers?: Readonly<Record<string, string>>;
  signal?: AbortSignal | undefined;
}

/** A host's answer with a blob. */
export interface BlobAnswer {
  body: Readable;
  /** Where the body begins. */
  from: number;
  /** The host. */
  name: string;
  /** Has other hosts be asked for the blob from now on; false if there is none. */
  blame(): boolean;
}

/** One repository of a registry, at its hosts. */
export class Repository {
  readonly reference: Reference;
  readonly #hosts: readonly HostClient[];
  readonly #signal: AbortSignal | undefined;
  /** Hosts that failed in the middle of a blob, or sent another, by its digest. */
  readonly #blamed = new Map<string, Set<HostClient>>();

  constructor({ reference, hosts, ask, headers = {}, signal }: RegistryOptions) {
    this.reference = reference;
    this.#signal = signal;
    const all = hosts ?? [registryItself(reference.host, { plainHttp: false })];
    const context = { reference, ask, headers, signal };
    this.#hosts = all.map((host, i) => new HostClient(host, context, i < all.length - 1));
  }

  /** Whether the client's request was cancelled. */
  get aborted(): boolean {
    return this.#signal?.aborted ?? false;
  }

  /** Requests tokens with push scope, too. */
  allowPush(): void {
    for (const host of this.#hosts) host.allowPush();
  }

  #able(capability: Capability): readonly HostClient[] {
    const able = this.#hosts.filter(({ host }) => host.capabilities.has(capability));
    if (able.length > 0) return able;
    throw new BerthError(
      "failed_precondition",
      `no host of ${this.reference.host} has the capability "${capability}": ${this.#hosts.map(({ name }) => name).join(", ")}`,
      { stage: "registry", hint: "add it in the registry's hosts.toml" },
    );
  }

  /** What the first of the hosts answers that can; the error names each that cannot, and is the last one's. */
  async #first<T>(hosts: readonly HostClient[], work: (host: HostClient) => Promise<T>): Promise<T> {
    const failures: { name: string; error: BerthError }[] = [];
    for (const host of hosts) {
      try {
        return await work(host);
      } catch (thrown) {
        const error = BerthError.from(thrown, "registry");
        if (this.aborted || isCode(error, "canceled")) throw error;
        failures.push({ name: host.name, error });
        log.debug("a registry's host has failed", { host: host.name, error: error.message });
      }
    }
    const { error } = failures.at(-1)!;
    if (failures.length === 1) throw error;
    const reasons = failures.map(({ name, error: { message } }) =>
      message.includes(name) ? message : `${name}: ${message}`,
    );
    const { stage, hint } = error;
    throw new BerthError(error.code, `no host of ${this.reference.host} gave it: ${reasons.join("; ")}`, {
      cause: error,
      ...(stage === undefined ? {} : { stage }),
      ...(hint === undefined ? {} : { hint }),
    });
  }

  #pushHost(): HostClient {
    return this.#able("push")[0]!;
  }

  /** Resolves the reference's tag (or digest) to a descriptor. */
  resolve(): Promise<Descriptor> {
    return this.#first(this.#able("resolve"), (host) => this.#resolveAt(host));
  }

  async #resolveAt(host: HostClient): Promise<Descriptor> {
    const { tag, digest } = this.reference;
    const target = digest ?? tag!;
    const head = await host.request("HEAD", `/manifests/${target}`, { headers: { accept: ACCEPT } });
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
      if (digest !== undefined && found !== digest) throw wrongDigest(host.name, digest, found);
      return { mediaType, digest: found, size: length };
    }
    // The registry's HEAD response lacks headers: fetch the manifest instead.
    const got = await host.request("GET", `/manifests/${target}`, { headers: { accept: ACCEPT } });
    if (got.status !== 200) throw await host.refused(got, `manifest ${target}`);
    const body = await readAll(got);
    const computed = digestOf(body);
    if (digest !== undefined && computed !== digest) throw wrongDigest(host.name, digest, computed);
    const declared = got.headers["content-type"]?.split(";")[0]?.trim();
    return { mediaType: declared ?? mediaTypeOf(body), digest: computed, size: body.length };
  }

  /** A manifest or index, checked against its descriptor. */
  manifest(wanted: Descriptor): Promise<Buffer> {
    return this.#first(this.#able("pull"), async (host) => {
      const answer = await host.request("GET", `/manifests/${wanted.digest}`, {
        headers: { accept: `${wanted.mediaType}, ${ACCEPT}` },
      });
      if (answer.status !== 200) throw await host.refused(answer, `manifest ${wanted.digest}`);
      const body = await readAll(answer);
      const computed = digestOf(body);
      if (computed !== wanted.digest) throw wrongDigest(host.name, wanted.digest, computed);
      return body;
    });
  }

  /**
   * A blob's bytes from `offset` on. `from` is where the response begins: registries may ignore the range and start
   * at 0.
   */
  blob(wanted: Descriptor, offset: number): Promise<BlobAnswer> {
    const able = this.#able("pull");
    const blamed = this.#blamed.get(wanted.digest);
    const left = able.filter((host) => !blamed?.has(host));
    const blame = (host: HostClient) => () => {
      const hosts = this.#blamed.get(wanted.digest) ?? new Set();
      this.#blamed.set(wanted.digest, hosts.add(host));
      return hosts.size < able.length;
    };
    return this.#first(left.length > 0 ? left : able, async (host) => {
      const headers: Record<string, string> = offset > 0 ? { range: `bytes=${offset}-` } : {};
      const answer = await host.request("GET", `/blobs/${wanted.digest}`, { headers });
      if (answer.status === 206) {
        const from = Number(/^bytes (\d+)-/.exec(String(answer.headers["content-range"]))?.[1]);
        if (from === offset) return { body: answer.body, from, name: host.name, blame: blame(host) };
        answer.body.destroy();
        throw new BerthError(
          "unavailable",
          `registry ${host.name} answered with another range than was asked for`,
          { stage: "registry" },
        );
      }
      if (answer.status !== 200) throw await host.refused(answer, `blob ${wanted.digest}`);
      return { body: answer.body, from: 0, name: host.name, blame: blame(host) };
    });
  }

  /** Whether the host that is pushed to has a blob. */
  async hasBlob(digest: string): Promise<boolean> {
    const host = this.#pushHost();
    const answer = await host.request("HEAD", `/blobs/${digest}`);
    answer.body.destroy();
    if (answer.status !== 200 && answer.status !== 404) throw await host.refused(answer, `blob ${digest}`);
    return answer.status === 200;
  }

  /** Uploads a blob; `from` names another repository of the same registry that has it. */
  async pushBlob(blob: Descriptor, read: () => AsyncIterable<Uint8Array>, from?: string): Promise<void> {
    const host = this.#pushHost();
    const mount = from === undefined ? "" : `?${new URLSearchParams({ mount: blob.digest, from })}`;
    const begun = await host.request("POST", `/blobs/uploads/${mount}`, { body: () => Buffer.alloc(0) });
    if (begun.status === 201) {
      begun.body.destroy();
      return;
    }
    if (begun.status !== 202 || begun.headers.location === undefined)
      throw await host.refused(begun, "an upload");
    begun.body.resume();
    const target = new URL(begun.headers.location, begun.url);
    refuseDowngrade(begun.url, target, "sends an upload");
    target.searchParams.set("digest", blob.digest);
    const put = await host.request("PUT", target, {
      headers: { "content-type": "application/octet-stream", "content-length": String(blob.size) },
      body: read,
    });
    if (put.status !== 201) throw await host.refused(put, `upload of ${blob.digest}`);
    put.body.resume();
  }

  /** Uploads a manifest under its digest, or under a tag. */
  async pushManifest(manifest: Descriptor, bytes: Buffer, tag?: string): Promise<void> {
    const host = this.#pushHost();
    const put = await host.request("PUT", `/manifests/${tag ?? manifest.digest}`, {
      headers: { "content-type": manifest.mediaType },
      body: () => bytes,
    });
    if (put.status !== 201) throw await host.refused(put, `manifest ${tag ?? manifest.digest}`);
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
