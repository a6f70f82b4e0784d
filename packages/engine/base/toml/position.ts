/** Finds keys in TOML text, for error messages: the parser does not tell where they stand. */

/** Where something stands in a text; both count from 1. */
export interface Position {
  line: number;
  column: number;
}

const PART = `(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)`;
const HEADER = new RegExp(String.raw`^(\s*\[{1,2}\s*)(${PART}(?:\s*\.\s*${PART})*)\s*\]`);
const ASSIGNMENT = new RegExp(String.raw`^(\s*)(${PART}(?:\s*\.\s*${PART})*)\s*=`);

/** Position of a key, or of the inline table that holds it; undefined if it is written in an unsupported form. */
export function positionOf(toml: string, key: readonly string[]): Position | undefined {
  let table: string[] = [];
  const lines = toml.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const header = HEADER.exec(lines[i]!);
    if (header !== null) {
      table = keyParts(header[2]!);
      if (isSame(table, key)) return { line: i + 1, column: header[1]!.length + 1 };
      continue;
    }
    const assignment = ASSIGNMENT.exec(lines[i]!);
    if (assignment === null) continue;
    const full = [...table, ...keyParts(assignment[2]!)];
    const holds = full.length <= key.length && isSame(full, key.slice(0, full.length));
    if (holds && (full.length === key.length || lines[i]!.includes(key.at(-1)!)))
      return { line: i + 1, column: assignment[1]!.length + 1 };
  }
  return undefined;
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((part, i) => part === other[i]);
}

function keyParts(text: string): string[] {
  return [...text.matchAll(/"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+)/g)].map((m) => m[1] ?? m[2] ?? m[3] ?? "");
}
