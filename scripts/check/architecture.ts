/** What ARCHITECTURE.md says of the packages, read from its tables. */
import { readFileSync } from "node:fs";

/** The structure that the sources are held against. */
export interface Architecture {
  /** Packages that a package may import. */
  readonly layers: ReadonlyMap<string, ReadonlySet<string>>;
  /** Floors of a package, lowest first; folders on the same floor do not know each other. */
  readonly floors: ReadonlyMap<string, readonly (readonly string[])[]>;
}

const words = (text: string) => text.match(/[\w-]+/g)?.filter((word) => word !== "-") ?? [];

/** Reads the rows "| `packages/NAME` | ... | may import |" and "| floors of NAME | a < b, c < d |". */
export function readArchitecture(): Architecture {
  const layers = new Map<string, Set<string>>();
  const floors = new Map<string, string[][]>();
  for (const line of readFileSync("ARCHITECTURE.md", "utf8").split("\n")) {
    const layer = /^\| `packages\/([\w-]+)` *\|[^|]*\|([^|]*)\|$/.exec(line);
    if (layer) layers.set(layer[1]!, new Set(words(layer[2]!)));
    const floor = /^\| floors of `packages\/([\w-]+)` *\|([^|]*)\|$/.exec(line);
    if (floor) floors.set(floor[1]!, floor[2]!.split("<").map(words));
  }
  return { layers, floors };
}
