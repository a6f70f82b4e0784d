/** Matching objects against filters; see parse.ts for the language. */
import { parseFilter, type Selector } from "./parse.ts";

/** Returns the value at a field path of an object; undefined if there is no such field. */
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
 * Compiles filters into a test: an object passes if all selectors of one filter hold, or if there are no filters.
 * `fields` returns an object's field accessor.
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

/** The default accessor: plain fields by their dotted path, and labels (the rest of the path is the key). */
export function fieldsOf(
  plain: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, string>> = {},
): Field {
  return (path) => {
    if (path[0] === "labels" && path.length > 1) return labels[path.slice(1).join(".")];
    const value = plain[path.join(".").toLowerCase()];
    // containerd treats an empty field as absent.
    return value === "" ? undefined : value;
  };
}
