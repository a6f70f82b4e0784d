/**
 * Image references (distribution-spec; docker's grammar): host, repository, tag and digest, with Docker Hub's short names.
 * "alpine" is docker.io/library/alpine:latest.
 */
import { BerthError } from "@berth/base";
import { isDigest } from "./digest.ts";

/** A parsed reference. */
export interface Reference {
  /** Registry as written: "docker.io", "localhost:5000". */
  readonly host: string;
  /** Path in the registry: "library/busybox". */
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?";
const HOST = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*|\\[[0-9a-fA-F:]+\\])(?::\\d+)?$`);
const HUB = "docker.io";
/** Other host names of Docker Hub. */
const HUB_ALIASES = ["index.docker.io", "registry-1.docker.io"];

/**
 * Parses a user's or client's reference. The part before the first slash is a host if it has a dot, a port or an
 * upper case letter, or is "localhost". "invalid_argument" says what is wrong with a reference.
 */
export function parseReference(text: string): Reference {
  const refuse = (why: string) =>
    new BerthError("invalid_argument", `invalid image name ${JSON.stringify(text)}: ${why}`, {
      hint: "write it as NAME[:TAG] or NAME@DIGEST, for instance alpine:3.20",
    });
  if (text === "") throw refuse("it is empty");
  const [named = "", digest, ...more] = text.split("@");
  if (more.length > 0) throw refuse("it has two digests");
  if (digest !== undefined && !isDigest(digest)) throw refuse(`"${digest}" is no sha256 or sha512 digest`);
  let rest = named;
  let tag: string | undefined;
  const colon = rest.lastIndexOf(":");
  if (colon > rest.lastIndexOf("/")) {
    tag = rest.slice(colon + 1);
    if (!TAG.test(tag)) throw refuse(`"${tag}" is not a tag`);
    rest = rest.slice(0, colon);
  }
  const slash = rest.indexOf("/");
  const first = slash < 0 ? "" : rest.slice(0, slash);
  const hasHost = /[.:A-Z]/.test(first) || first === "localhost";
  let host = hasHost ? first : HUB;
  if (HUB_ALIASES.includes(host)) host = HUB;
  if (!HOST.test(host)) throw refuse(`"${host}" is not the name of a registry`);
  let repository = hasHost ? rest.slice(slash + 1) : rest;
  if (repository === "") throw refuse("it has no repository");
  if (host === HUB && !repository.includes("/")) repository = `library/${repository}`;
  if (repository !== repository.toLowerCase()) throw refuse("repository names are lower case");
  if (!REPOSITORY.test(repository)) throw refuse(`"${repository}" is not a repository name`);
  return { host, repository, tag: tag ?? (digest === undefined ? "latest" : undefined), digest };
}

/** Formats a reference in full, the form in which the daemon stores it. */
export function formatReference({ host, repository, tag, digest }: Reference): string {
  return `${host}/${repository}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}

/** Parses and formats: "alpine" becomes "docker.io/library/alpine:latest". */
export function normalizeReference(text: string): string {
  return formatReference(parseReference(text));
}

/** A stored name as docker shows it: repository and tag, without "docker.io/library/". */
export function familiarName(name: string): { repository: string; tag: string } {
  const [named, digest] = name.split("@") as [string, string | undefined];
  const slash = named.lastIndexOf("/");
  const colon = named.indexOf(":", slash + 1);
  const full = colon < 0 ? named : named.slice(0, colon);
  const tag = colon < 0 ? (digest === undefined ? "latest" : "<none>") : named.slice(colon + 1);
  return { repository: full.replace(/^docker\.io\/(library\/)?/, ""), tag };
}

/** Host of a registry's API, without scheme: Docker Hub's differs from its name. */
export function apiHost(host: string): string {
  return host === HUB ? "registry-1.docker.io" : host;
}

/** Whether a registry is on this machine; such registries are accessed without TLS. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/.test(host);
}
