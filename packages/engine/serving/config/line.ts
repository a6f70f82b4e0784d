/** Finds the line of a key in TOML text, for error messages: the parser does not report it. */

/** Line (from 1) of a dotted key such as "grpc.address"; undefined if it is written in an unsupported form. */
export function lineOf(toml: string, key: string): number | undefined {
  const wanted = key.split(".");
  let table: string[] = [];
  const lines = toml.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const header = /^\s*\[\s*([^\]]+?)\s*\]/.exec(lines[i]!);
    if (header !== null) {
      table = keyParts(header[1]!);
      if (table.join(".") === key) return i + 1;
      continue;
    }
    const assignment =
      /^\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*=/.exec(
        lines[i]!,
      );
    if (assignment === null) continue;
    const full = [...table, ...keyParts(assignment[1]!)];
    // An inline table is found by its own key.
    if (
      full.length <= wanted.length &&
      full.every((part, at) => part === wanted[at]) &&
      full.length > table.length
    ) {
      if (full.length === wanted.length || lines[i]!.includes(wanted.at(-1)!)) return i + 1;
    }
  }
  return undefined;
}

function keyParts(text: string): string[] {
  return [...text.matchAll(/"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+)/g)].map((m) => m[1] ?? m[2] ?? m[3] ?? "");
}
