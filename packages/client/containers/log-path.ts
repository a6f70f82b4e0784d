/** Paths of containers' logs. */
import { dirname, join } from "node:path";
import { DEFAULT_ADDRESS } from "../address.ts";
import type { ContainerHost } from "./host.ts";

const DEFAULT_ROOT = "/var/lib/berth";

/** The path of a container's log, below the daemon's root. */
export function logPathFor(root: string, namespace: string, id: string): string {
  return join(root, "logs", namespace, id, "container.log");
}

/**
 * The daemon's root directory. A daemon with custom directories reports them; as asking costs a call, only a daemon
 * at a custom address is asked.
 */
export async function logRoot(client: ContainerHost): Promise<string> {
  if (client.root !== undefined) return client.root;
  if (client.address === DEFAULT_ADDRESS) return DEFAULT_ROOT;
  const plugins = await client.plugins().catch(() => []);
  const content = plugins.find((plugin) => plugin.type === "io.containerd.content.v1");
  return content?.exports.root ? dirname(content.exports.root) : DEFAULT_ROOT;
}
