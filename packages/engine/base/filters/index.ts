/** Matching objects against filters; see parse.ts for the language. */
import { log } from "@berth/base";
import { parseFilter, type Selector } from "./parse.ts";

/** Returns the value at a field path of an object; undefined if there is no such field. */
export type Field = (path: readonly string[]) => string | undefined;

type Condition = (field: Field) => boolean;

async function conditionOf({ path, operator, value }: Selector): Promise<Condition> {
  switch (operator) {
    case "present":
      return (field) => field(path) !== undefined;
    case "==":
      return (field) => field(path) === value;
    case "!=":
      return (field) => (field(path) ?? "") !== value;
    default: {
      const matches = await compileRegex(value);
      return (field) => matches(field(path) ?? "");
    }
  }
}

/** Go's regular expressions, in linear time. As in containerd, an invalid one is no error but matches nothing. */
async function compileRegex(pattern: string): Promise<(text: string) => boolean> {
  const { RE2JS } = await import("re2js");
  try {
    const regex = RE2JS.compile(pattern);
    return (text) => regex.test(text);
  } catch (error) {
    log.warn("a filter has an invalid regular expression and matches nothing", {
      pattern,
      error: (error as Error).message,
    });
    return () => false;
  }
}

/**
 * Compiles filters into a test: an object passes if all selectors of one filter hold, or if there are no filters.
 * `fields` returns an object's field accessor. "invalid_argument" gives the position of a syntax error.
 */
export async function compileFilters<T>(
  filters: readonly string[],
  fields: (object: T) => Field,
): Promise<(object: T) => boolean> {
  const parsed = filters.map(parseFilter);
  if (parsed.length === 0) return () => true;
  const compiled = await Promise.all(parsed.map((selectors) => Promise.all(selectors.map(conditionOf))));
  return (object) => {
    const field = fields(object);
    return compiled.some((conditions) => conditions.every((holds) => holds(field)));
  };
}

/** Fields that are there even when they are empty, as containerd has it for a snapshot's parent. */
const ALWAYS_THERE: readonly string[] = ["parent"];

/** The default accessor: plain fields by their dotted path; labels and annotations by key, the rest of the path. */
export function fieldsOf(
  plain: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, string>> = {},
  annotations: Readonly<Record<string, string>> = {},
): Field {
  return (path) => {
    if (path[0] === "labels" || path[0] === "annotations") {
      const map = path[0] === "labels" ? labels : annotations;
      const key = path.slice(1).join(".");
      return Object.hasOwn(map, key) ? map[key] : undefined;
    }
    const name = path.join(".");
    const value = Object.hasOwn(plain, name) ? plain[name] : undefined;
    // containerd treats most empty fields as absent.
    return value === "" && !ALWAYS_THERE.includes(name) ? undefined : value;
  };
}
