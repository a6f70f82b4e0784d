/** The files that a config.toml imports. */
import { readdirSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { BerthError, isCode } from "@berth/base";
import { readTextFile } from "../../base/core/text-file.ts";

/**
 * Paths and texts of the files that `patterns` name, in order: paths relative to the importing file's folder, with `*` and
 * `?` in the last part. A pattern may match nothing; a plain path has to exist.
 */
export function* importedFiles(patterns: readonly string[], importer: string): Generator<[string, string]> {
  for (const pattern of patterns) {
    const path = resolve(dirname(importer), pattern);
    for (const file of /[*?]/.test(path) ? matches(path) : [path])
      yield [file, readTextFile(file, `${importer}: imports: cannot read`, { stage: "config" })];
  }
}

function matches(path: string): string[] {
  const folder = dirname(path);
  const escaped = basename(path).replace(/[.+^${}()|[\]\\]/g, "\\$&");
  const name = new RegExp(`^${escaped.replaceAll("*", ".*").replaceAll("?", ".")}$`);
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (cause) {
    const error = BerthError.from(cause);
    if (isCode(error, "not_found")) return [];
    throw error;
  }
  return names
    .filter((found) => name.test(found))
    .sort()
    .map((found) => join(folder, found));
}
