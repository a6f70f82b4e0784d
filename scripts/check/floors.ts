/** Imports inside a package: never up between its floors, and never in a circle between its folders. */
import type { Architecture } from "./architecture.ts";
import { folderOf, type Problem, type Source } from "./sources.ts";

/** See the module comment. Tests may look anywhere. */
export function checkFloors(sources: readonly Source[], { floors }: Architecture): Problem[] {
  const problems: Problem[] = [];
  for (const { path, package: own, isTest, imports, folder } of sources) {
    const order = floors.get(own);
    if (order === undefined || isTest) continue;
    const floorOf = (name: string) => order.findIndex((rooms) => rooms.includes(name.split("/")[0]!));
    const from = floorOf(folder);
    for (const { target, path: file } of imports) {
      if (file === undefined) continue;
      const to = floorOf(folderOf(file));
      if (from < 0 || to < 0) continue;
      const beside = to === from && folderOf(file).split("/")[0] !== folder.split("/")[0];
      if (to > from) problems.push(`${path}: goes up a floor by ${target}`);
      else if (beside) problems.push(`${path}: goes into another room of its floor by ${target}`);
    }
  }
  return [...problems, ...checkCircles(sources)];
}

/** Folders that import each other, directly or around several corners. */
function checkCircles(sources: readonly Source[]): Problem[] {
  const edges = new Map<string, Map<string, string>>();
  for (const { path, package: own, isTest, imports, folder } of sources)
    for (const { target, path: file } of isTest ? [] : imports) {
      if (file === undefined || folderOf(file) === folder) continue;
      const from = `${own}/${folder}`;
      const to = `${own}/${folderOf(file)}`;
      if (!edges.has(from)) edges.set(from, new Map());
      edges.get(from)!.set(to, `${path} imports ${target}`);
    }
  const problems: Problem[] = [];
  const state = new Map<string, "open" | "done">();
  const visit = (name: string, way: readonly string[]): void => {
    if (state.get(name) === "done") return;
    if (state.get(name) === "open") {
      const circle = [...way.slice(way.indexOf(name)), name];
      const steps = circle.slice(1).map((to, i) => edges.get(circle[i]!)!.get(to)!);
      problems.push(`folders in a circle: ${circle.join(" -> ")}: ${steps.join("; ")}`);
      return;
    }
    state.set(name, "open");
    for (const to of edges.get(name)?.keys() ?? []) visit(to, [...way, name]);
    state.set(name, "done");
  };
  for (const name of edges.keys()) visit(name, []);
  return problems;
}
