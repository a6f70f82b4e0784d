/** Help texts. */
import { VERSION } from "@berth/base";
import type { Command } from "./command.ts";
import { describeFlags } from "./flags.ts";
import { globalFlags } from "./global-flags.ts";
import { VERBS } from "./verb-table.ts";

/** What `berth-runc --help` prints. */
export async function help(): Promise<string> {
  const verbs = await Promise.all(
    Object.entries(VERBS).map(
      async ([name, load]) => `   ${name.padEnd(10)} ${((await load()).command as Command).help}`,
    ),
  );
  return `NAME:
   berth-runc - Open Container Initiative runtime

USAGE:
   berth-runc [global options] command [command options] [arguments...]

VERSION:
   ${VERSION}

COMMANDS:
${verbs.join("\n")}

GLOBAL OPTIONS:
${describeFlags(globalFlags)}
`;
}

/** What `berth-runc VERB --help` prints. */
export function commandHelp(verb: string, command: Command): string {
  const options = describeFlags(command.flags);
  return `NAME:
   berth-runc ${verb} - ${command.help}

USAGE:
   berth-runc ${command.usage}
${options === "" ? "" : `\nOPTIONS:\n${options}\n`}`;
}
