/** berth explain: what the runtime would do, step by step. The runtime's code is provided by the executable. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BerthError } from "@berth/base";
import { type Context, command } from "../command.ts";

/** A bundle's directory: the given one, or a temporary one with a container's spec, which is added to `removals`. */
async function bundleOf(context: Context, what: string, removals: string[]): Promise<string> {
  // A path is a bundle; anything else is a container's name, whose spec is exported for the runtime.
  if (what.includes("/") || existsSync(`${what}/config.json`)) return what;
  const client = await context.client();
  const container = await client.containers.find(what);
  const { stringifyJson } = await import("@berth/oci");
  const bundle = mkdtempSync(join(tmpdir(), "berth-explain-"));
  removals.push(bundle);
  mkdirSync(join(bundle, "rootfs"));
  writeFileSync(join(bundle, "config.json"), stringifyJson(container.spec()), { mode: 0o600 });
  return bundle;
}

export default command({
  usage: "BUNDLE|CONTAINER, or --diff A B",
  summary: "Print what the runtime would do for a bundle or container",
  flags: { diff: { kind: "bool", help: "Compare two bundles or containers" } },
  args: [1, 2],
  async run(context, flags, names) {
    const { explain, explainDifference } = context.deps;
    if (!explain || !explainDifference)
      throw new BerthError("unimplemented", "this build of berth has no runtime in it", {
        hint: "Use the berth that `make build` makes.",
      });
    if (names.length !== (flags.diff ? 2 : 1))
      throw new BerthError(
        "invalid_argument",
        `explain: found ${names.length} names, expected ${flags.diff ? "two to compare" : "one (or --diff and two)"}`,
      );
    const removals: string[] = [];
    try {
      const bundles: string[] = [];
      for (const name of names) bundles.push(await bundleOf(context, name, removals));
      const text = flags.diff
        ? await explainDifference(bundles[0]!, bundles[1]!)
        : await explain(bundles[0]!);
      context.out(text.endsWith("\n") ? text : `${text}\n`);
      return 0;
    } finally {
      for (const folder of removals) rmSync(folder, { recursive: true, force: true });
    }
  },
});
