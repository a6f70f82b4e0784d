/** The names in an open folder. */
import * as fs from "node:fs";
import { BerthError } from "@berth/base";

/** Names in the order of their bytes; "unimplemented" for one that is not UTF-8: it would be left out silently. */
export function namesIn(dir: number, path: string): string[] {
  return fs
    .readdirSync(`/proc/self/fd/${dir}`, { encoding: "buffer" })
    .sort(Buffer.compare)
    .map((bytes) => {
      const name = bytes.toString();
      if (!name.includes("\ufffd") || Buffer.from(name).equals(bytes)) return name;
      throw new BerthError(
        "unimplemented",
        `layer entry ${JSON.stringify(`${path}/${name}`)}: found a name that is not UTF-8 (${bytes.toString("hex")}), expected one that is`,
        { stage: "diff", path, hint: "rename the file" },
      );
    });
}
