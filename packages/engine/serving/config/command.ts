/**
 * `berthd config`: looks at files of settings.
 *
 *     berthd config check [FILE]     whether berthd takes the file; names what it ignores of a containerd's
 *     berthd config default          all settings with their meaning
 *     berthd config dump [FILE]      what holds with the file: its settings, and the defaults
 *     berthd config migrate FILE     the settings of a containerd's file as berth's
 */
import { BerthError } from "@berth/base";
import { configFile, configOf, readConfig } from "./config.ts";
import { defaultFile, settingsFile } from "./show.ts";

const VERBS: Readonly<Record<string, (file: string | undefined) => string>> = {
  check: (file) => {
    const { ignored } = readConfig(file);
    const lines = ignored.map(({ where, key, why }) => `${where}: ${key} is ignored: ${why}`);
    return [...lines, `${file ?? "the defaults"}: ok`].map((text) => `${text}\n`).join("");
  },
  default: () => defaultFile(),
  dump: (file) => settingsFile(configOf(readConfig(file).settings, {})),
  migrate: (file) => {
    if (file === undefined)
      throw new BerthError("invalid_argument", "berthd config migrate: expected the path of a file");
    const { settings, ignored } = readConfig(file);
    const lines = ignored.map(({ where, key, why }) => `# ${where}: ${key} is ignored: ${why}\n`);
    return settingsFile(settings) + lines.join("");
  },
};

/** Runs `berthd config VERB [FILE]`; returns what it prints. */
export function configCommand([verb, file, ...more]: readonly string[]): string {
  const run = verb === undefined || !Object.hasOwn(VERBS, verb) ? undefined : VERBS[verb];
  if (run === undefined || more.length > 0)
    throw new BerthError(
      "invalid_argument",
      `berthd config: found ${JSON.stringify([verb, file, ...more].filter(Boolean).join(" "))}, expected ${Object.keys(VERBS).join(", ")}, and a file`,
    );
  return run(configFile(file));
}
