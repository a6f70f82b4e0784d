/** Listing a thousand containers. */
import { compare, head, row } from "../measure.ts";
import { many } from "./client.ts";
import type { Setup } from "./setup.ts";

const COUNT = 1000;

/** Measures and prints the table. */
export async function list({ engines }: Setup): Promise<void> {
  for (const e of engines) await many(COUNT, 8, (n) => e.record(`list-${n}`, { args: ["true"] }));
  const contenders = engines.map((e) => ({
    name: e.name,
    once: async () => {
      const begin = performance.now();
      const found = await e.list();
      const ms = performance.now() - begin;
      if (found !== COUNT) throw new Error(`${found} containers`);
      return ms;
    },
  }));
  console.log(head(engines.map((e) => e.name)));
  console.log(row(`list of ${COUNT} containers`, "berthd", await compare(contenders, 30, 5)));
  for (const e of engines) await many(COUNT, 8, (n) => e.forget(`list-${n}`));
}
