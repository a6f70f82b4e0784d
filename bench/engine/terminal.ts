/** `run --rm` from the command line: with each daemon's own client, and with ctr on all. */
import { join } from "node:path";
import { ROOT } from "../../test/support/checkout.ts";
import { type Contender, compare, head, row, runProgram } from "../measure.ts";
import { type Engine, IMAGE } from "./client.ts";
import type { Setup } from "./setup.ts";

async function timed(argv: readonly string[]): Promise<number> {
  const { ms, code } = await runProgram(argv);
  if (code !== 0) throw new Error(`exit code ${code} of ${argv.join(" ")}`);
  return ms;
}

function ctr(e: Engine, id: string): Promise<number> {
  const { program } = e.daemon;
  return timed([
    program.ctr,
    "-a",
    program.socket,
    "-n",
    program.namespace,
    "run",
    "--rm",
    "--net-host",
    IMAGE,
    id,
    "true",
  ]);
}

function berth(e: Engine, id: string): Promise<number> {
  const { program } = e.daemon;
  const flags = [
    "--address",
    program.socket,
    "--namespace",
    program.namespace,
    "run",
    "--rm",
    "--network",
    "host",
    "--name",
    id,
  ];
  return timed([join(ROOT, "bin/berth"), ...flags, "berth/demo", "true"]);
}

/** Measures and prints the table. */
export async function terminal({ engines }: Setup): Promise<void> {
  const own = (e: Engine) => (e.name === "berthd" ? berth : ctr);
  const each = (once: (e: Engine, n: number) => Promise<number>): Contender[] =>
    engines.map((e) => ({ name: e.name, once: (n) => once(e, n) }));
  console.log(head(engines.map((e) => e.name)));
  const native = await compare(
    each((e, n) => own(e)(e, `own-${n}`)),
    20,
  );
  console.log(row("`run --rm`, host network: berth / ctr", "berthd", native));
  const same = await compare(
    each((e, n) => ctr(e, `ctr-${n}`)),
    20,
  );
  console.log(row("`ctr run --rm --net-host` on all", "berthd", same));
}
