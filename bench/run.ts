/**
 * `make bench`: tables of berth and its peers, side by side in one run. Arguments select topics; see
 * docs/performance.md.
 */
import { exec } from "./engine/exec.ts";
import { life } from "./engine/life.ts";
import { list } from "./engine/list.ts";
import { log } from "./engine/log.ts";
import { memory } from "./engine/memory.ts";
import { recovery } from "./engine/recovery.ts";
import { withEngines } from "./engine/setup.ts";
import { terminal } from "./engine/terminal.ts";
import { benchRuntime } from "./runtime.ts";

const topics = {
  runtime: benchRuntime,
  ...Object.fromEntries(
    Object.entries({ life, exec, terminal, memory, list, log, recovery }).map(([name, measure]) => [
      name,
      () => withEngines(measure),
    ]),
  ),
};
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in topics));
if (unknown.length > 0) {
  console.error(`bench: no topic ${unknown.join(", ")}; there are ${Object.keys(topics).join(", ")}`);
  process.exit(2);
}
for (const [name, bench] of Object.entries(topics)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`\n## ${name}\n`);
  await bench();
}
