/** Each package.json names what the package's sources import, and nothing else. */
import { readFileSync } from "node:fs";
import type { Problem, Source } from "./sources.ts";

interface Manifest {
  version: string;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

const read = (path: string): Manifest => JSON.parse(readFileSync(path, "utf8"));

/** The name of the package in an import; undefined for files and for Node's own modules. */
function packageIn(target: string): string | undefined {
  // Texts about versions look like imports, too.
  if (!/^(@[\w-]+\/)?[a-z]/.test(target) || /^(node|bun):/.test(target)) return undefined;
  return target
    .split("/")
    .slice(0, target.startsWith("@") ? 2 : 1)
    .join("/");
}

/** See the module comment. Versions are those of the workspace: its own, or what the root pins. */
export function checkDependencies(sources: readonly Source[]): Problem[] {
  const root = read("package.json");
  const problems: Problem[] = [];
  for (const own of new Set(sources.map((source) => source.package))) {
    const path = `packages/${own}/package.json`;
    const manifest = read(path);
    const used = (tests: boolean) =>
      new Set(
        sources
          .filter((source) => source.package === own && source.isTest === tests)
          .flatMap(({ imports }) => imports.flatMap(({ target }) => packageIn(target) ?? [])),
      );
    const runtime = used(false);
    const tests = new Set([...used(true)].filter((name) => !runtime.has(name) && name !== `@berth/${own}`));
    const version = (name: string) =>
      name.startsWith("@berth/")
        ? manifest.version
        : (root.dependencies?.[name] ?? root.devDependencies?.[name] ?? "missing in the root's package.json");
    for (const [field, names] of [
      ["dependencies", runtime],
      ["devDependencies", tests],
    ] as const) {
      const want = Object.fromEntries([...names].sort().map((name) => [name, version(name)]));
      const have = manifest[field] ?? {};
      if (JSON.stringify(want) !== JSON.stringify(have))
        problems.push(`${path}: ${field} are ${JSON.stringify(have)}, expected ${JSON.stringify(want)}`);
    }
  }
  return problems;
}
