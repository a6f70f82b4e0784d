/** TLS to registries: whom berth believes, and how it shows who it is. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { BerthError } from "@berth/base";
import { readTextFile } from "../../base/core/text-file.ts";
import type { HostTls } from "./hosts.ts";

/** Where systems keep their CAs, as other registry clients (Go's) look for them: the first file, and all folders. */
const FILES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];
const FOLDERS = ["/etc/ssl/certs", "/etc/pki/tls/certs"];
const LOOK_MS = 5000;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** A system's CAs, read again when their files change. SSL_CERT_FILE and SSL_CERT_DIR replace the usual places. */
export class SystemRoots {
  readonly #files: readonly string[];
  readonly #folders: readonly string[];
  #stamp = "";
  #stampedAt = Number.NEGATIVE_INFINITY;
  #readAt = "";
  #found: readonly string[] = [];

  constructor(env: Readonly<Record<string, string | undefined>> = process.env) {
    this.#files = env.SSL_CERT_FILE ? [env.SSL_CERT_FILE] : FILES;
    this.#folders = env.SSL_CERT_DIR ? env.SSL_CERT_DIR.split(":") : FOLDERS;
  }

  /** What the files are: it changes with them. They are looked at every few seconds. */
  stamp(): string {
    const now = performance.now();
    if (now - this.#stampedAt < LOOK_MS) return this.#stamp;
    this.#stampedAt = now;
    const inside = this.#folders.flatMap((folder) => filesIn(folder));
    this.#stamp = [...this.#files, ...this.#folders, ...inside].map(stampOf).join();
    return this.#stamp;
  }

  /** The CAs in PEM; none if this system has no store. */
  certificates(): readonly string[] {
    const stamp = this.stamp();
    if (stamp === this.#readAt) return this.#found;
    const found = new Set<string>();
    const add = (text: string) => {
      for (const [certificate] of text.matchAll(CERTIFICATE)) found.add(certificate);
    };
    for (const file of this.#files) {
      const text = readIfAny(file);
      if (text === undefined) continue;
      add(text);
      break;
    }
    for (const folder of this.#folders) for (const file of filesIn(folder)) add(readIfAny(file) ?? "");
    this.#readAt = stamp;
    this.#found = [...found];
    return this.#found;
  }
}

/** A folder's files, without the links by hash that name each a second time. */
function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => !entry.isDirectory() && !/^[0-9a-f]{8}\.\d+$/.test(entry.name))
      .map((entry) => join(folder, entry.name));
  } catch {
    return [];
  }
}

function readIfAny(file: string): string | undefined {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return undefined;
  }
}

function stampOf(path: string): string {
  try {
    const { mtimeNs, size, ino } = statSync(path, { bigint: true });
    return `${mtimeNs}/${size}/${ino}`;
  } catch {
    return "";
  }
}

/** Reads a file that a host's settings name. */
function readNamed(path: string, what: string): string {
  return readTextFile(path, `cannot read the ${what}`, { stage: "registry" }, "latin1");
}

/** Contexts of different settings that are kept; more than a machine has. */
const MAX_CONTEXTS = 64;

type Https = typeof import("node:https");
type Agent = import("node:https").Agent;

/** Connections by TLS settings: one pool for each. */
export class TlsAgents {
  readonly #roots: SystemRoots;
  readonly #options: object;
  readonly #agents = new Map<string, Agent>();

  /** `options` are those of every agent. */
  constructor(options: object, roots = new SystemRoots()) {
    this.#options = options;
    this.#roots = roots;
  }

  /** The connections of hosts with these settings; without settings, of all others. */
  agent(tls?: HostTls): Agent {
    const files = tls === undefined ? [] : [...tls.ca, ...tls.client.flatMap(({ cert, key }) => [cert, key])];
    const key = [JSON.stringify(tls ?? null), this.#roots.stamp(), ...files.map(stampOf)].join("\n");
    const found = this.#agents.get(key);
    if (found !== undefined) return found;
    const { Agent } = process.getBuiltinModule("node:https") as Https;
    const agent = new Agent({
      ...this.#options,
      // A context for each connection would read all CAs each time.
      secureContext: this.#context(tls),
      ...(tls?.skipVerify ? { rejectUnauthorized: false } : {}),
    } as object);
    for (const [old, unused] of this.#agents) {
      if (this.#agents.size < MAX_CONTEXTS) break;
      unused.destroy();
      this.#agents.delete(old);
    }
    this.#agents.set(key, agent);
    return agent;
  }

  #context(tls: HostTls | undefined) {
    const { createSecureContext, rootCertificates } = process.getBuiltinModule("node:tls");
    const system = this.#roots.certificates();
    const ca = [
      ...(system.length > 0 ? system : rootCertificates),
      ...(tls?.ca ?? []).map((file) => readNamed(file, "CA")),
    ];
    const pairs = (tls?.client ?? []).map(({ cert, key }) => ({
      cert: readNamed(cert, "certificate"),
      key: readNamed(key || cert, "key"),
    }));
    try {
      return createSecureContext({
        ca,
        ...(pairs.length > 0
          ? { cert: pairs.map(({ cert }) => cert), key: pairs.map(({ key }) => key) }
          : {}),
      });
    } catch (cause) {
      const files = [...(tls?.ca ?? []), ...(tls?.client ?? []).flatMap(({ cert, key }) => [cert, key])];
      throw new BerthError(
        "failed_precondition",
        `one of ${files.filter(Boolean).join(", ") || "the system's CAs"} is not a certificate or key: ${(cause as Error).message}`,
        { stage: "registry", cause },
      );
    }
  }
}
