/** Imports between packages: only downwards, only by a door, and none of Node where a package is to run without it. */
import { readFileSync } from "node:fs";
import type { Architecture } from "./architecture.ts";
import type { Problem, Source } from "./sources.ts";

/** These reach the machine through packages/sys alone, or not at all. */
const WITHOUT_NODE = new Set(["runtime", "runc", "oci", "protobuf", "shim"]);

/** See the module comment. */
export function checkLayers(sources: readonly Source[], { layers }: Architecture): Problem[] {
  const doors = new Map<string, ReadonlySet<string>>();
  const doorsOf = (name: string) => {
    let found = doors.get(name);
    if (found === undefined) {
      const { exports = "./index.ts" } = JSON.parse(readFileSync(`packages/${name}/package.json`, "utf8"));
      found = new Set(typeof exports === "string" ? ["."] : Object.keys(exports));
      doors.set(name, found);
    }
    return found;
  };
  return sources.flatMap(({ path, package: own, isTest, text, imports }) => {
    const allowed = layers.get(own);
    if (allowed === undefined) return [`${path}: package ${own} is not in ARCHITECTURE.md's table`];
    const problems: Problem[] = [];
    for (const { target, path: file } of imports) {
      const [, other, door] = /^@berth\/([\w-]+)(\/.+)?$/.exec(target) ?? [];
      if (other !== undefined) {
        if (other === own) problems.push(`${path}: imports its own package by its door, ${target}`);
        else if (!allowed.has(other) && !isTest)
          problems.push(`${path}: imports ${target}, but ${own} may import only: ${[...allowed].join(", ")}`);
        else if (!doorsOf(other).has(`.${door ?? ""}`))
          problems.push(`${path}: imports ${target}, which is no door of ${other}`);
      }
      if (file !== undefined && !file.startsWith(`packages/${own}/`))
        problems.push(`${path}: reaches out of its package by ${target}`);
      if (WITHOUT_NODE.has(own) && !isTest && target.startsWith("node:"))
        problems.push(
          `${path}: imports ${target}, but ${own} reaches the machine through packages/sys alone`,
        );
    }
    if (WITHOUT_NODE.has(own) && !isTest && text.includes("getBuiltinModule"))
      problems.push(`${path}: getBuiltinModule goes around the rule: ${own} uses packages/sys alone`);
    return problems;
  });
}
