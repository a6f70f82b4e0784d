/** `make bench`: the tables of DESIGN's bars, side by side in one run. Arguments choose: runtime, engine. */
import { benchEngine } from "./engine.ts";
import { benchRuntime } from "./runtime.ts";

const wanted = process.argv.slice(2);
const all = { runtime: benchRuntime, engine: benchEngine };
for (const [name, bench] of Object.entries(all)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`\n## ${name}\n`);
  await bench();
}
