/** Matching objects against filters; see parse.ts for the language. */
import { parseFilter, type Selector } from "./parse.ts";

/** Gives the value of a field path of an object; undefined when the object has no such field. */
export type Field = (path: readonly string[]) => string | undefined;

function holds(selector: Selector, field: Field): boolean {
  const value = field(selector.path);
  switch (selector.operator) {
    case "present":
      return value !== undefined;
    case "==":
      return value === selector.value;
    case "!=":
      return value !== selector.value;
    default:
      return value !== undefined && selector.regex!.test(value);
  }
}

/**
 * Compiles filters into a test: an object passes when one filter's selectors all hold, or when there are none.
 * `fields` makes the field accessor of an object.
 */
export function compileFilters<T>(
  filters: readonly string[],
  fields: (object: T) => Field,
): (object: T) => boolean {
  const parsed = filters.map(parseFilter);
  if (parsed.length === 0) return () => true;
  return (object) => {
    const field = fields(object);
    return parsed.some((selectors) => selectors.every((selector) => holds(selector, field)));
  };
}

/** The usual accessor: plain fields by their dotted path, and labels (the rest of the path is the key). */
export function fieldsOf(
  plain: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, string>> = {},
): Field {
  return (path) => {
    if (path[0] === "labels" && path.length > 1) return labels[path.slice(1).join(".")];
    const value = plain[path.join(".").toLowerCase()];
    // containerd calls a field that is empty absent.
    return value === "" ? undefined : value;
  };
}
