/**
 * Reads a registry's folder: hosts.toml, or without it Docker's layout of certificates (*.crt: CAs; *.cert and *.key:
 * client certificates). See containerd's docs/hosts.md.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { BerthError, isCode, log, parseDuration, present } from "@berth/base";
import { apiHost } from "@berth/oci";
import { Document, isTable } from "../../base/toml/document.ts";
import {
  type Capability,
  type HostDefaults,
  type HostTls,
  type RegistryHost,
  registryItself,
} from "./hosts.ts";

const FILE = "hosts.toml";
const MAX_BYTES = 1 << 20;
const CAPABILITIES: readonly string[] = ["pull", "resolve", "push"];
/** Of containerd's capabilities, that which berth never asks for. */
const UNUSED = "referrers";
const KEYS: readonly string[] = [
  "capabilities",
  "ca",
  "client",
  "skip_verify",
  "header",
  "override_path",
  "dial_timeout",
];

/** Files whose unknown keys were named in the log, by what they were then. */
const warned = new Map<string, string>();

/** The hosts that a folder describes for the registry `name`; the registry itself is the last one. */
export function readHostFolder(folder: string, name: string, defaults: HostDefaults): RegistryHost[] {
  const path = join(folder, FILE);
  let text: string;
  try {
    if (statSync(path).size > MAX_BYTES)
      throw new BerthError("failed_precondition", `${path}: more than ${MAX_BYTES} bytes`, {
        stage: "registry",
      });
    text = readFileSync(path, "utf8");
  } catch (cause) {
    const error = BerthError.from(cause, "registry");
    if (!isCode(error, "not_found")) throw error;
    text = "";
  }
  if (text.trim() === "") return [withCertificates(folder, name, defaults)];
  return new HostsFile(new Document(text, path), folder, name).hosts(defaults);
}

function withCertificates(folder: string, name: string, defaults: HostDefaults): RegistryHost {
  const files = readdirSync(folder).sort();
  const ca = files.filter((file) => file.endsWith(".crt")).map((file) => join(folder, file));
  const client = files
    .filter((file) => file.endsWith(".cert"))
    .map((file) => {
      const key = `${file.slice(0, -".cert".length)}.key`;
      return { cert: join(folder, file), key: files.includes(key) ? join(folder, key) : "" };
    });
  if (ca.length === 0 && client.length === 0) return registryItself(name, defaults);
  return { ...registryItself(name, { ...defaults, tls: true }), tls: { ca, client, skipVerify: false } };
}

type Table = Readonly<Record<string, unknown>>;

/** A parsed file. */
class HostsFile {
  readonly #document: Document;
  readonly #folder: string;
  readonly #name: string;
  readonly #unknown: string[] = [];

  constructor(document: Document, folder: string, name: string) {
    this.#document = document;
    this.#folder = folder;
    this.#name = name;
  }

  hosts(defaults: HostDefaults): RegistryHost[] {
    const { server, host: mirrors = {}, ...own } = this.#document.root;
    if (server !== undefined && typeof server !== "string") throw this.#wrong(["server"], server, "a text");
    if (!isTable(mirrors)) throw this.#wrong(["host"], mirrors, 'tables such as [host."https://mirror"]');
    // The parser keeps the file's order.
    const hosts = Object.entries(mirrors).map(([url, table]) => {
      if (!isTable(table)) throw this.#wrong(["host", url], table, "a table");
      return this.#host(url, table, ["host", url]);
    });
    hosts.push(server ? this.#host(server, own, []) : this.#itself(own, defaults));
    this.#warn();
    return hosts;
  }

  #itself(table: Table, defaults: HostDefaults): RegistryHost {
    const { base: _, mirror: __, ...more } = this.#settings(table, []);
    const tls = more.tls !== undefined;
    return { ...registryItself(this.#name, tls ? { ...defaults, tls } : defaults), ...more };
  }

  #host(url: string, table: Table, key: readonly string[]): RegistryHost {
    const settings = this.#settings(table, key);
    const where = key.length > 0 ? key : ["server"];
    const parsed = parseUrl(url.startsWith("http") ? url : `https://${url}`);
    if (parsed === undefined) throw this.#wrong(where, url, "an address such as https://mirror.example");
    const path = parsed.pathname.replace(/\/+$/, "");
    const isRoot = table.override_path === true || path.endsWith("/v2");
    const base = `${parsed.origin}${isRoot ? path : `${path}/v2`}`;
    return {
      ...settings,
      base,
      mirror: parsed.host !== apiHost(this.#name),
    };
  }

  #settings(table: Table, key: readonly string[]): RegistryHost {
    for (const name of Object.keys(table))
      if (!KEYS.includes(name)) this.#unknown.push([...key, name].join("."));
    const { capabilities, override_path: overridePath = false, dial_timeout: dial } = table;
    if (typeof overridePath !== "boolean")
      throw this.#wrong([...key, "override_path"], overridePath, "true or false");
    const dialTimeout = typeof dial === "string" && dial !== "" ? parseDuration(dial) : undefined;
    if (dial !== undefined && dial !== "" && dialTimeout === undefined)
      throw this.#wrong([...key, "dial_timeout"], dial, 'a duration such as "5s"');
    return {
      base: "",
      mirror: false,
      capabilities: this.#capabilities(capabilities, [...key, "capabilities"]),
      headers: this.#headers(table.header, [...key, "header"]),
      ...present({ tls: this.#tls(table, key), dialTimeout }),
    };
  }

  #capabilities(value: unknown, key: readonly string[]): ReadonlySet<Capability> {
    if (value === undefined || (Array.isArray(value) && value.length === 0))
      return new Set(CAPABILITIES as Capability[]);
    const names = texts(value)?.map((name) => name.toLowerCase());
    if (names === undefined || !names.every((name) => CAPABILITIES.includes(name) || name === UNUSED))
      throw this.#wrong(key, value, `a list of ${[...CAPABILITIES, UNUSED].join(", ")}`);
    return new Set(names.filter((name) => name !== UNUSED) as Capability[]);
  }

  #headers(value: unknown, key: readonly string[]): Record<string, string | string[]> {
    if (value === undefined) return {};
    if (!isTable(value)) throw this.#wrong(key, value, "a table of texts");
    for (const [name, header] of Object.entries(value))
      if (typeof header !== "string" && texts(header) === undefined)
        throw this.#wrong([...key, name], header, "a text, or a list of texts");
    // A name in two spellings would be sent twice.
    return Object.fromEntries(
      Object.entries(value).map(([name, header]) => [name.toLowerCase(), header]),
    ) as Record<string, string | string[]>;
  }

  #tls(table: Table, key: readonly string[]): HostTls | undefined {
    const { ca, client, skip_verify: skipVerify } = table;
    if (ca === undefined && client === undefined && skipVerify === undefined) return undefined;
    if (skipVerify !== undefined && typeof skipVerify !== "boolean")
      throw this.#wrong([...key, "skip_verify"], skipVerify, "true or false");
    const files = typeof ca === "string" ? [ca] : ca === undefined ? [] : texts(ca);
    if (files === undefined) throw this.#wrong([...key, "ca"], ca, "a path, or a list of paths");
    return {
      ca: files.map((file) => this.#path(file)),
      client: this.#pairs(client, [...key, "client"]),
      skipVerify: skipVerify ?? false,
    };
  }

  #pairs(value: unknown, key: readonly string[]): HostTls["client"] {
    if (value === undefined) return [];
    const list: unknown[] = typeof value === "string" ? [value] : Array.isArray(value) ? value : [undefined];
    return list.map((item) => {
      const pair = typeof item === "string" ? [item, ""] : texts(item);
      if (pair?.length !== 2)
        throw this.#wrong(key, value, "a path, a list of paths, or a list of pairs of paths");
      const [cert, keyFile] = pair as [string, string];
      return { cert: this.#path(cert), key: keyFile === "" ? "" : this.#path(keyFile) };
    });
  }

  #path(file: string): string {
    return isAbsolute(file) ? file : join(this.#folder, file);
  }

  #wrong(key: readonly string[], found: unknown, expected: string): BerthError {
    const name = key.map((part) => (/^[\w-]+$/.test(part) ? part : JSON.stringify(part))).join(".");
    return this.#document.refusal(key, `${name} is ${JSON.stringify(found)}, expected ${expected}`);
  }

  /** Unknown keys may be a later containerd's: they are named, once. */
  #warn(): void {
    const keys = this.#unknown.join(", ");
    const { file } = this.#document;
    if (keys === "" || warned.get(file) === keys) return;
    warned.set(file, keys);
    log.warn("unknown keys are ignored", { file, keys });
  }
}

function texts(value: unknown): string[] | undefined {
  return Array.isArray(value) && value.every((item) => typeof item === "string") ? value : undefined;
}

function parseUrl(text: string): URL | undefined {
  try {
    const url = new URL(text);
    return (url.protocol === "https:" || url.protocol === "http:") && url.host !== "" ? url : undefined;
  } catch {
    return undefined;
  }
}
