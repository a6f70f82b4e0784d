/** Ensures that an image is present, pulling it if requested. */
import { BerthError, isCode } from "@berth/base";
import type { BerthClient, PullPolicy, ResolvedImage } from "@berth/client";
import { normalizeReference } from "@berth/oci";
import type { Context } from "../command.ts";

/** The named image, resolved for this machine; pulled, with progress shown, if `policy` says so. */
export function ensureImage(
  context: Context,
  client: BerthClient,
  text: string,
  policy: string,
): Promise<ResolvedImage> {
  return client.images.ensure(text, {
    pull: policy as PullPolicy,
    fetch: async () => {
      if (policy === "missing") context.err(`Unable to find image '${text}' locally\n`);
      const { pullImage } = await import("./pull.ts");
      await pullImage(context, client, text, { quiet: false });
    },
  });
}

/** The record of the named image: by reference, or by a prefix of its digest. */
export async function findImage(client: BerthClient, text: string) {
  const hex = /^(?:sha256:)?([0-9a-f]{4,64})$/.exec(text)?.[1];
  try {
    return await client.images.get(normalizeReference(text));
  } catch (error) {
    if (!isCode(error, "not_found") && !(isCode(error, "invalid_argument") && hex)) throw error;
  }
  const all = await client.images.list();
  // Names written by other tools need not be normalized.
  const named = all.find((image) => image.name === text);
  if (named) return named;
  const fitting = hex ? all.filter((image) => image.target.digest.startsWith(`sha256:${hex}`)) : [];
  if (new Set(fitting.map((image) => image.target.digest)).size > 1)
    throw new BerthError("invalid_argument", `several images have an id that begins with ${hex}`);
  if (fitting[0]) return fitting[0];
  throw new BerthError("not_found", `no such image: ${text}`, {
    hint: "`berth images` lists what is there.",
  });
}
