/** berth explain: what the runtime would do, step by step. The work is the runtime's; the executable brings it. */
import { existsSync } from "node:fs";
import { BerthError } from "@berth/base";
import { command } from "../command.ts";
import { findContainer } from "../container/find.ts";

export default command({
  usage: "BUNDLE|CONTAINER",
  summary: "Print what the runtime would do for a bundle or container",
  flags: {},
  args: [1, 1],
  async run(context, _flags, [what]) {
    const { explain } = context.deps;
    if (!explain)
      throw new BerthError("unimplemented", "this build of berth has no runtime in it", {
        hint: "Use the berth that `make build` makes.",
      });
    const print = (plan: string) => {
      context.out(plan.endsWith("\n") ? plan : `${plan}\n`);
      return 0;
    };
    // A path is a bundle; all else is a container's name, of which the runtime reads the spec.
    if (what!.includes("/") || existsSync(`${what}/config.json`)) return print(await explain(what!));
    const client = await context.client();
    const container = await findContainer(client, what!);
    const { mkdirSync, mkdtempSync, rmSync, writeFileSync } = await import("node:fs");
    const { tmpdir } = await import("node:os");
    const { join } = await import("node:path");
    const { stringifyJson } = await import("@berth/oci");
    const bundle = mkdtempSync(join(tmpdir(), "berth-explain-"));
    try {
      mkdirSync(join(bundle, "rootfs"));
      writeFileSync(join(bundle, "config.json"), stringifyJson(container.spec()), { mode: 0o600 });
      return print(await explain(bundle));
    } finally {
      rmSync(bundle, { recursive: true, force: true });
    }
  },
});
