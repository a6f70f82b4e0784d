/** The files that a config.toml imports. */
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { BerthError, isCode } from "@berth/base";

/**
 * Paths and texts of the files that `patterns` name, in order: paths relative to the importing file's folder, with `*` and
 * `?` in the last part. A pattern may match nothing; a plain path has to exist.
 */
export function* importedFiles(patterns: readonly string[], importer: string): Generator<[string, string]> {
  for (const pattern of patterns) {
    const path = resolve(dirname(importer), pattern);
    for (const file of /[*?]/.test(path) ? matches(path) : [path]) yield [file, readImport(file, importer)];
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

function readImport(file: string, importer: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    const error = BerthError.from(cause);
    throw new BerthError(
      error.code,
      `${importer}: imports: cannot read ${file}: ${error.errno ?? error.message}`,
      { stage: "config", path: file, cause },
    );
  }
}
