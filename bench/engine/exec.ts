/** An exec'd process, through the API. */
import { compare, head, row } from "../measure.ts";
import type { Setup } from "./setup.ts";

/** Measures and prints the table. */
export async function exec({ engines }: Setup): Promise<void> {
  for (const e of engines) await e.create("long", { args: ["sleep", "1000"] });
  console.log(head(engines.map((e) => e.name)));
  const contenders = engines.map((e) => ({ name: e.name, once: (n: number) => e.exec("long", `e${n}`) }));
  console.log(row("exec of `true`", "berthd", await compare(contenders, 60, 20)));
  for (const e of engines) await e.kill("long");
}
