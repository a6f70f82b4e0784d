/** berth version: of this program and of the daemon. */
import { COMMIT, isCode, VERSION } from "@berth/base";
import { versionsIn } from "@berth/client";
import { command } from "../command.ts";
import { text } from "../flags.ts";
import { parseTemplate } from "../format/template.ts";

export default command({
  usage: "",
  summary: "Show versions",
  flags: { format: text("TEMPLATE", '"json" or a Go template', "f") },
  args: [0, 0],
  async run(context, flags) {
    const engine = process.versions.bun ? `bun ${process.versions.bun}` : `node ${process.versions.node}`;
    let server: { Version: string; API: string; Revision: string } | undefined;
    let missing: string | undefined;
    try {
      const found = await (await context.client()).version();
      const { api, daemon } = versionsIn(found.version);
      server = { Version: daemon, API: api, Revision: found.revision };
    } catch (error) {
      if (!isCode(error, "unavailable") && !isCode(error, "permission_denied")) throw error;
      missing = (error as Error).message;
    }
    const facts = {
      Client: { Version: VERSION, Revision: COMMIT, Engine: engine, Arch: process.arch },
      Server: server ?? { Version: "", API: "", Revision: "" },
    };
    if (flags.format === "json") context.out(`${JSON.stringify(facts)}\n`);
    else if (flags.format !== undefined) context.out(`${parseTemplate(flags.format)(facts)}\n`);
    else {
      context.out(
        `Client:\n  Version: ${VERSION}\n  Revision: ${COMMIT}\n  Engine: ${engine}\n  Arch: ${process.arch}\n`,
      );
      if (server)
        context.out(
          `Server:\n  Version: ${server.Version}\n  API: containerd ${server.API}\n  Revision: ${server.Revision}\n`,
        );
      else context.err(`Server: ${missing}\n`);
    }
    return missing === undefined ? 0 : 1;
  },
});
