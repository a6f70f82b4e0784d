/** Merging lists of "NAME=value". */

/**
 * `base` with `overrides` applied: a name that is already there keeps its place and gets the new value, a new
 * one is appended, and an override without "=" removes the name.
 */
export function mergeEnvironment(base: readonly string[], overrides: readonly string[]): string[] {
  const values = new Map<string, string>();
  for (const entry of base) values.set(nameOf(entry), entry);
  for (const entry of overrides) {
    if (entry.includes("=")) values.set(nameOf(entry), entry);
    else values.delete(entry);
  }
  return [...values.values()];
}

/** Whether a list sets a name. */
export function hasVariable(environment: readonly string[], name: string): boolean {
  return environment.some((entry) => nameOf(entry) === name);
}

function nameOf(entry: string): string {
  const at = entry.indexOf("=");
  return at < 0 ? entry : entry.slice(0, at);
}
