/** Where containers' logs are. */
import { dirname, join } from "node:path";
import type { BerthClient } from "@berth/client";
import type { Context } from "../command.ts";

const DEFAULT_ROOT = "/var/lib/berth";

/** The path for a container's log, below the daemon's root. */
export function logPathFor(root: string, namespace: string, id: string): string {
  return join(root, "logs", namespace, id, "container.log");
}

/**
 * The daemon's root directory. One with directories of its own says where they are; asking costs a call, so only
 * one that is not at the usual address is asked.
 */
export async function logRoot(context: Context, client: BerthClient): Promise<string> {
  if (context.env.BERTH_ROOT) return context.env.BERTH_ROOT;
  if (context.address === "unix:///run/berth/berth.sock") return DEFAULT_ROOT;
  const plugins = await client.plugins().catch(() => []);
  const content = plugins.find((plugin) => plugin.type === "io.containerd.content.v1");
  return content?.exports.root ? dirname(content.exports.root) : DEFAULT_ROOT;
}
