/** Pulls with progress on standard error: bars on a terminal, plain lines otherwise. */

import type { BerthClient, Image, PlatformOptions } from "@berth/client";
import { normalizeReference } from "@berth/oci";
import type { Context } from "../command.ts";
import { ProgressView } from "../terminal/progress.ts";

/** Pulls and unpacks an image. */
export async function pullImage(
  context: Context,
  client: BerthClient,
  text: string,
  options: {
    quiet: boolean;
    plainHttp?: boolean;
    hostsDir?: string | undefined;
  } & PlatformOptions,
): Promise<Image> {
  const view = options.quiet ? undefined : new ProgressView(context.err, process.stderr);
  try {
    return await client.images.pull(normalizeReference(text), {
      plainHttp: options.plainHttp,
      hostsDir: options.hostsDir,
      platform: options.platform,
      allPlatforms: options.allPlatforms,
      onProgress: view ? (step) => view.step(step) : undefined,
    });
  } finally {
    view?.close();
  }
}
