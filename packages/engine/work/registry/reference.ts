/** Image references: host, repository, tag and digest, with Docker Hub's short names. */
import { BerthError } from "@berth/base";
import { checkDigest } from "../../base/core/names.ts";

/** A reference, taken apart. */
export interface Reference {
  /** Registry as it is written: "docker.io", "localhost:5000". */
  readonly host: string;
  /** Path in the registry: "library/busybox". */
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const HOST = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::\d+)?$/;
const HUB = "docker.io";

/** Parses a reference; names without a host are Docker Hub's, and without a tag or digest they mean "latest". */
export function parseReference(text: string): Reference {
  const refuse = (why: string) =>
    new BerthError("invalid_argument", `image reference ${JSON.stringify(text)} ${why}: invalid argument`, {
      hint: "write host/path:tag, for instance docker.io/library/busybox:latest",
    });
  let rest = text;
  let digest: string | undefined;
  const at = rest.indexOf("@");
  if (at >= 0) {
    digest = rest.slice(at + 1);
    checkDigest(digest);
    rest = rest.slice(0, at);
  }
  let tag: string | undefined;
  const colon = rest.lastIndexOf(":");
  if (colon > rest.lastIndexOf("/")) {
    tag = rest.slice(colon + 1);
    if (!TAG.test(tag)) throw refuse(`has tag ${JSON.stringify(tag)}, which is not valid`);
    rest = rest.slice(0, colon);
  }
  const slash = rest.indexOf("/");
  const first = slash < 0 ? "" : rest.slice(0, slash);
  const hasHost = /[.:]/.test(first) || first === "localhost";
  let host = hasHost ? first : HUB;
  let repository = hasHost ? rest.slice(slash + 1) : rest;
  if (host === "index.docker.io" || host === "registry-1.docker.io") host = HUB;
  if (host === HUB && repository !== "" && !repository.includes("/")) repository = `library/${repository}`;
  if (!HOST.test(host)) throw refuse(`has host ${JSON.stringify(host)}, which is not valid`);
  if (repository === "") throw refuse("has no name");
  if (!REPOSITORY.test(repository))
    throw refuse(`has name ${JSON.stringify(repository)}, which is not valid (lower case only)`);
  if (tag === undefined && digest === undefined) tag = "latest";
  return { host, repository, tag, digest };
}

/** Writes a reference in full. */
export function formatReference({ host, repository, tag, digest }: Reference): string {
  return `${host}/${repository}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}

/** Where a registry's API is, without scheme: Docker Hub's is not at its own name. */
export function apiHost(host: string): string {
  return host === HUB ? "registry-1.docker.io" : host;
}

/** Tells whether a host is this machine. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/:\d+$/, "");
  return name === "localhost" || /^127\.\d+\.\d+\.\d+$/.test(name) || name === "[::1]";
}
