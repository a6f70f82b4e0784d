/** Exported values that nobody imports: dead code, or something that need not be seen. Types name what a signature takes. */
import { globSync, readFileSync } from "node:fs";
import type { Problem, Source } from "./sources.ts";

/** Their doors are for programs of others, or take another library's place. */
const PUBLIC = new Set(["client", "oci", "protobuf", "api"]);
const EXPORT = /^export (?:default )?(?:abstract )?(?:async )?(?:function\*?|class|const|let|enum) (\w+)/gm;

/** See the module comment. A name counts as imported when another file mentions it. */
export function checkExports(sources: readonly Source[]): Problem[] {
  const others = globSync(["test/**/*.ts", "bench/**/*.ts", "examples/**/*.ts", "scripts/**/*.ts"]).map(
    (path) => ({ path, text: readFileSync(path, "utf8") }),
  );
  const mentions = new Map<string, Set<string>>();
  for (const { path, text } of [...sources, ...others])
    for (const word of new Set(text.match(/\w+/g)))
      if (mentions.has(word)) mentions.get(word)!.add(path);
      else mentions.set(word, new Set([path]));
  return sources
    .filter((source) => !source.isTest && !PUBLIC.has(source.package))
    .flatMap(({ path, text }) =>
      [...text.matchAll(EXPORT)].flatMap(([, name]) =>
        [...mentions.get(name!)!].every((other) => other === path)
          ? [`${path}: exports ${name}, which no other file mentions`]
          : [],
      ),
    );
}
