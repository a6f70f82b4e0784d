/** The packages' sources as the checks see them: each file with what it imports. */
import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

/** An import of a file. */
export interface Import {
  /** As it is written: "@berth/base", "./x.ts", "node:fs". */
  readonly target: string;
  /** Of a relative one: path of the file, from the checkout. */
  readonly path: string | undefined;
}

/** A source file of a package. */
export interface Source {
  /** From the checkout: "packages/engine/base/store/database.ts". */
  readonly path: string;
  readonly package: string;
  /** Its folder inside the package; for a file beside package.json the file's own name, as it is its own room. */
  readonly folder: string;
  /** A test, or what tests share: "fake-host.ts", "test-log.ts". */
  readonly isTest: boolean;
  readonly text: string;
  readonly imports: readonly Import[];
}

/** One thing that is wrong. */
export type Problem = string;

const IMPORT = /(?:\bfrom\s+|\bimport\s*\(\s*|^\s*import\s+)["']([^"']+)["']/gm;

/** The folder of a path inside its package; see {@link Source.folder}. */
export function folderOf(path: string): string {
  const [, , ...inside] = path.split("/");
  return inside.length === 1 ? inside[0]! : inside.slice(0, -1).join("/");
}

/** All sources of all packages; generated code is left out. */
export function readSources(): Source[] {
  const skipped = (name: unknown) => /node_modules|\/gen(\/|$)/.test(String(name));
  return globSync("packages/**/*.ts", { exclude: skipped }).map((path) => {
    const text = readFileSync(path, "utf8");
    const imports = [...text.matchAll(IMPORT)].map(([, target]) => ({
      target: target!,
      path: target!.startsWith(".") ? normalize(join(dirname(path), target!)) : undefined,
    }));
    return {
      path,
      package: path.split("/")[1]!,
      folder: folderOf(path),
      isTest: /\.test\.ts$|\/(fake|test)-[\w-]+\.ts$/.test(path),
      text,
      imports,
    };
  });
}
