/** Names of images: docker's short forms and what they stand for. */
import { BerthError } from "@berth/base";

const DOMAIN = /^(localhost|[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)+|[a-zA-Z0-9.-]+:\d+|\[[0-9a-fA-F:]+\](:\d+)?)$/;
const PATH = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** A reference in its parts. */
export interface Reference {
  domain: string;
  path: string;
  tag: string | undefined;
  digest: string | undefined;
}

/**
 * Reads what a user wrote: "alpine" is docker.io/library/alpine:latest. Throws "invalid_argument" that says what
 * is wrong with it.
 */
export function parseReference(text: string): Reference {
  const fail = (why: string): never => {
    throw new BerthError("invalid_argument", `invalid image name ${JSON.stringify(text)}: ${why}`, {
      hint: "Write it as NAME[:TAG] or NAME@DIGEST, for instance alpine:3.20.",
    });
  };
  if (text === "") fail("it is empty");
  const [named, digest, ...more] = text.split("@") as [string, string | undefined];
  if (more.length > 0) fail("it has two digests");
  if (digest !== undefined && !DIGEST.test(digest)) fail(`"${digest}" is not a sha256 digest`);
  const slash = named.indexOf("/");
  const first = slash < 0 ? "" : named.slice(0, slash);
  const hasDomain = slash >= 0 && DOMAIN.test(first);
  let rest = hasDomain ? named.slice(slash + 1) : named;
  const colon = rest.lastIndexOf(":");
  let tag: string | undefined;
  if (colon >= 0) {
    tag = rest.slice(colon + 1);
    rest = rest.slice(0, colon);
    if (!TAG.test(tag)) fail(`"${tag}" is not a tag`);
  }
  if (rest !== rest.toLowerCase()) fail("repository names are lower case");
  if (!PATH.test(rest)) fail(`"${rest}" is not a repository name`);
  const domain = !hasDomain || first === "index.docker.io" ? "docker.io" : first;
  const path = domain === "docker.io" && !rest.includes("/") ? `library/${rest}` : rest;
  return { domain, path, tag: tag ?? (digest === undefined ? "latest" : undefined), digest };
}

/** The full form, as the daemon's store has it. */
export function fullName(reference: Reference): string {
  const { domain, path, tag, digest } = reference;
  return `${domain}/${path}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}

/** {@link parseReference} and {@link fullName} in one. */
export function normalise(text: string): string {
  return fullName(parseReference(text));
}

/** A stored name as docker shows it: repository and tag, "docker.io/library/" left out. */
export function familiar(name: string): { repository: string; tag: string } {
  const [named, digest] = name.split("@") as [string, string | undefined];
  const slash = named.lastIndexOf("/");
  const colon = named.indexOf(":", slash + 1);
  const full = colon < 0 ? named : named.slice(0, colon);
  const tag = colon < 0 ? (digest === undefined ? "latest" : "<none>") : named.slice(colon + 1);
  return { repository: full.replace(/^docker\.io\/(library\/)?/, ""), tag };
}

/** True for registries on this machine, which are spoken to without TLS. */
export function isLocalRegistry(domain: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/.test(domain);
}
