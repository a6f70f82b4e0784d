/**
 * Fails when an import goes against the layers: the table in ARCHITECTURE.md is read and held against every import of
 * every package. Also: only the door of another package may be imported, and `runtime`, `shim` and `oci` use no node: module.
 */
import { globSync, readFileSync } from "node:fs";

const PURE = new Set(["runtime", "shim", "oci"]);
const problems: string[] = [];

const allowed = new Map<string, Set<string>>();
for (const line of readFileSync("ARCHITECTURE.md", "utf8").split("\n")) {
  const match = /^\| `packages\/([\w-]+)` +\|[^|]*\|([^|]*)\|$/.exec(line);
  if (match) allowed.set(match[1]!, new Set(match[2]!.match(/[\w-]+/g)?.filter((w) => w !== "-") ?? []));
}

const IMPORT = /(?:\bfrom\s+|\bimport\s*\(\s*|^\s*import\s+)["']([^"']+)["']/gm;
for (const file of globSync("packages/**/*.ts", {
  exclude: (name) => /node_modules|\/gen(\/|$)/.test(String(name)),
})) {
  const own = file.split("/")[1]!;
  const layer = allowed.get(own);
  const isTest = file.endsWith(".test.ts");
  if (layer === undefined) {
    problems.push(`${file}: package ${own} is not in ARCHITECTURE.md's table`);
    continue;
  }
  for (const [, target] of readFileSync(file, "utf8").matchAll(IMPORT)) {
    const other = /^@berth\/([\w-]+)/.exec(target!)?.[1];
    if (other !== undefined && other !== own && !layer.has(other) && !isTest)
      problems.push(
        `${file}: imports ${target}, but ${own} may import only: ${[...layer].join(", ") || "nothing"}`,
      );
    if (target!.startsWith(".") && target!.split("../").length - 1 >= file.split("/").length - 2)
      problems.push(`${file}: reaches out of its package by ${target}`);
    if (PURE.has(own) && !isTest && target!.startsWith("node:"))
      problems.push(`${file}: imports ${target}, but ${own} reaches the machine through packages/sys alone`);
  }
}
for (const problem of problems) console.error(problem);
console.log(`layers: ${problems.length === 0 ? "in order" : `${problems.length} problems`}`);
process.exitCode = problems.length === 0 ? 0 : 1;
