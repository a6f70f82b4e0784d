/** Settings as a file of berth's form. */
import type { Config } from "./config.ts";
import { SETTINGS, type SettingName, type Settings } from "./settings.ts";

/** Every setting with its meaning and default, as comments where it has none. */
export function defaultFile(): string {
  return render((name) => {
    const { about, fallback } = SETTINGS[name];
    return [
      `# ${about}`,
      `${fallback === undefined ? `# ${lastPart(name)} = ""` : line(name, fallback)}`,
      "",
    ];
  });
}

/** What is set, without comments. */
export function settingsFile(settings: Settings | Config): string {
  return render((name) => (settings[name] === undefined ? [] : [line(name, settings[name])]));
}

function render(linesOf: (name: SettingName) => readonly string[]): string {
  const lines: string[] = [];
  let table = "";
  for (const name of Object.keys(SETTINGS) as SettingName[]) {
    const shown = linesOf(name);
    if (shown.length === 0) continue;
    const own = name.includes(".") ? name.slice(0, name.lastIndexOf(".")) : "";
    if (own !== table) {
      if (lines.length > 0 && lines.at(-1) !== "") lines.push("");
      lines.push(`[${own}]`);
    }
    table = own;
    lines.push(...shown);
  }
  while (lines.at(-1) === "") lines.pop();
  return lines.map((text) => `${text}\n`).join("");
}

const lastPart = (name: SettingName) => name.slice(name.lastIndexOf(".") + 1);

function line(name: SettingName, value: unknown): string {
  return `${lastPart(name)} = ${SETTINGS[name].show(value)}`;
}
