/** Holds the sources against ARCHITECTURE.md and against each other; prints what is wrong, and exits with 1 then. */
import { readArchitecture } from "./architecture.ts";
import { checkDependencies } from "./dependencies.ts";
import { checkExports } from "./exports.ts";
import { checkFloors } from "./floors.ts";
import { checkLayers } from "./layers.ts";
import { readSources } from "./sources.ts";

const sources = readSources();
const architecture = readArchitecture();
const problems = [
  ...checkLayers(sources, architecture),
  ...checkFloors(sources, architecture),
  ...checkDependencies(sources),
  ...checkExports(sources),
];
for (const problem of problems) console.error(problem);
console.log(
  `structure: ${sources.length} files, ${problems.length === 0 ? "in order" : `${problems.length} problems`}`,
);
process.exitCode = problems.length === 0 ? 0 : 1;
