/** Where containers' logs are. */
import { chmodSync, mkdirSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { BerthError } from "@berth/base";
import type { BerthClient } from "@berth/client";
import type { Context } from "../command.ts";
import { LABEL } from "./labels.ts";

const DEFAULT_ROOT = "/var/lib/berth";

/** The path for a container's log, below the daemon's root. */
export function logPathFor(root: string, namespace: string, id: string): string {
  return join(root, "logs", namespace, id, "container.log");
}

/** Makes the folder of a log: there is a container by now, that it goes with. */
export function makeLogFolder(path: string): void {
  const folder = dirname(path);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o710 });
    chmodSync(folder, 0o710);
  } catch (cause) {
    const error = BerthError.from(cause);
    throw new BerthError(error.code, `cannot make the log's folder ${folder}: ${error.message}`, {
      path: folder,
      cause,
      hint: "Run berth as root, or as a user that may write there.",
    });
  }
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

/** Removes a container's log and its folder, and nothing else that may be there. */
export function removeLog(labels: Readonly<Record<string, string>>): void {
  const path = labels[LABEL.logPath];
  if (!path) return;
  const folder = dirname(path);
  try {
    for (const entry of readdirSync(folder))
      if (entry === basename(path) || entry.startsWith(`${basename(path)}.`))
        rmSync(join(folder, entry), { force: true });
    rmdirSync(folder);
  } catch {
    // Gone already, or something else is kept there: then it stays.
  }
}
