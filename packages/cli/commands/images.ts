/** berth images: lists images. */
import { isCode } from "@berth/base";
import type { BerthClient, Image } from "@berth/client";
import { familiarName } from "@berth/oci";
import { command } from "../command.ts";
import { bool, text } from "../flags.ts";
import { type Column, printRows, type Row } from "../format/rows.ts";
import { formatSize, formatSpan } from "../units.ts";

const COLUMNS: readonly Column[] = [
  { title: "REPOSITORY", field: "Repository" },
  { title: "TAG", field: "Tag" },
  { title: "IMAGE ID", field: "ID" },
  { title: "CREATED", field: "CreatedSince" },
  { title: "SIZE", field: "Size" },
];

export default command({
  usage: "[REPOSITORY[:TAG]]",
  summary: "List images",
  flags: {
    quiet: bool("Ids only", "q"),
    noTrunc: bool("Do not shorten"),
    format: text("TEMPLATE", '"json", a Go template, or "table TEMPLATE"'),
  },
  args: [0, 1],
  async run(context, flags, [wanted]) {
    const client = await context.client();
    const all = await client.images.list();
    const shown = all
      .filter((image) => wanted === undefined || isNamed(image, wanted))
      .sort((a, b) => (b.updatedAt?.getTime() ?? 0) - (a.updatedAt?.getTime() ?? 0));
    const idOf = (image: Image) => {
      const { digest } = image.target;
      return flags.noTrunc ? digest : digest.replace("sha256:", "").slice(0, 12);
    };
    if (flags.quiet && flags.format === undefined) {
      for (const id of new Set(shown.map(idOf))) context.out(`${id}\n`);
      return 0;
    }
    const rows = await Promise.all(shown.map((image) => rowOf(client, image, idOf(image))));
    printRows(context, rows, COLUMNS, flags.format);
    return 0;
  },
});

function isNamed(image: Image, wanted: string): boolean {
  const { repository, tag } = familiarName(image.name);
  return wanted === repository || wanted === `${repository}:${tag}` || wanted === image.name;
}

async function rowOf(client: BerthClient, image: Image, id: string): Promise<Row> {
  const { repository, tag } = familiarName(image.name);
  const row = { Repository: repository, Tag: tag, ID: id, Digest: image.target.digest };
  try {
    const { manifest, config } = await client.images.resolve(image);
    const size = manifest.layers.reduce((sum, layer) => sum + layer.size, manifest.config.size);
    const made = config.created ? new Date(config.created) : undefined;
    // Reproducible images have 1970 or no creation time.
    const since = made && made.getTime() > 0 ? `${formatSpan(Date.now() - made.getTime())} ago` : "N/A";
    return { ...row, CreatedSince: since, CreatedAt: made?.toISOString() ?? "", Size: formatSize(size) };
  } catch (error) {
    if (!isCode(error, "not_found")) throw error;
    // Another platform's image, or an incomplete one.
    return { ...row, CreatedSince: "N/A", CreatedAt: "", Size: "N/A" };
  }
}
