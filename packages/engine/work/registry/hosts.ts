/** The hosts that serve a registry: itself and its mirrors, as containerd's hosts folder describes them. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { BerthError, isCode } from "@berth/base";
import { apiHost, isLoopback } from "@berth/oci";

/** What a host is asked for. */
export type Capability = "pull" | "resolve" | "push";
const ALL: ReadonlySet<Capability> = new Set(["pull", "resolve", "push"]);

/** How a host is known to be who it is, and how berth shows who it is: paths of PEM files. */
export interface HostTls {
  /** Further CAs, besides the machine's. */
  ca: readonly string[];
  /** Certificates with their keys; a key of "" is in the certificate's file. */
  client: readonly { cert: string; key: string }[];
  skipVerify: boolean;
}

/** A host that serves repositories. */
export interface RegistryHost {
  /** Root of its API, without a slash at the end: "https://mirror.example/v2". */
  base: string;
  capabilities: ReadonlySet<Capability>;
  /** Whether it is another's mirror: it is told the registry's name. */
  mirror: boolean;
  headers: Readonly<Record<string, string | string[]>>;
  tls?: HostTls;
  /** Time for a connection, in milliseconds. */
  dialTimeout?: number;
}

/** How to reach a registry of which no folder speaks. */
export interface HostDefaults {
  /** Use http; loopback addresses always do. */
  plainHttp: boolean;
  /** Use https also for a loopback address. */
  tls?: boolean;
}

/** The registry itself. */
export function registryItself(name: string, { plainHttp, tls = false }: HostDefaults): RegistryHost {
  const scheme = plainHttp || (isLoopback(name) && !tls) ? "http" : "https";
  return { base: `${scheme}://${apiHost(name)}/v2`, capabilities: ALL, mirror: false, headers: {} };
}

/**
 * The folder that describes a registry, below the first of `roots` that has one: "NAME_PORT_", "NAME:PORT" or "_default";
 * undefined if there is none.
 */
export function hostFolder(roots: readonly string[], name: string): string | undefined {
  const port = name.lastIndexOf(":");
  const names = [...(port > 0 ? [`${name.slice(0, port)}_${name.slice(port + 1)}_`] : []), name, "_default"];
  for (const root of roots)
    for (const folder of names) {
      const path = join(root, folder);
      if (isFolder(path)) return path;
    }
  return undefined;
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (cause) {
    const error = BerthError.from(cause);
    if (isCode(error, "not_found")) return false;
    throw error;
  }
}

/** The hosts of a registry, in the order in which they are tried. */
export async function hostsOf(
  roots: readonly string[],
  name: string,
  defaults: HostDefaults,
): Promise<readonly RegistryHost[]> {
  const folder = hostFolder(roots, name);
  if (folder === undefined) return [registryItself(name, defaults)];
  // Few registries have a folder.
  const { readHostFolder } = await import("./hosts-file.ts");
  return readHostFolder(folder, name, defaults);
}
