/**
 * Building blocks of a schema: small functions that accept a JSON value or throw an error that names the field's
 * path, what was found and what was expected.
 */
import { BerthError } from "@berth/base";

/** Accepts a value found at `path` or throws. */
export type Check = (value: unknown, path: string) => void;

/** Throws a check's error. */
export function reject(path: string, found: unknown, expected: string): never {
  const where = path === "" ? "the document" : path;
  throw new BerthError("invalid_argument", `${where}: found ${describe(found)}, expected ${expected}`, {
    stage: "config",
    hint: `Correct ${where} in the configuration.`,
  });
}

/** A value for an error message: its JSON, shortened, with its type where JSON alone is ambiguous. */
export function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value === "object") return "an object";
  if (typeof value === "bigint") return value.toString();
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}..."` : text;
}

/** Any string without a NUL byte (which no system call could carry). */
export const string: Check = (value, path) => {
  if (typeof value !== "string") reject(path, value, "a string");
  if (value.includes("\0")) reject(path, value, "a string without NUL bytes");
};

/** A string that is not empty. */
export const name: Check = (value, path) => {
  string(value, path);
  if (value === "") reject(path, value, "a string that is not empty");
};

/** An absolute path. */
export const absolute: Check = (value, path) => {
  string(value, path);
  if (!(value as string).startsWith("/")) reject(path, value, "an absolute path");
};

/** true or false. */
export const bool: Check = (value, path) => {
  if (typeof value !== "boolean") reject(path, value, "true or false");
};

/** An integer from `min` to `max`. */
export function integer(min: number | bigint, max: number | bigint): Check {
  return (value, path) => {
    const whole = typeof value === "bigint" || (typeof value === "number" && Number.isInteger(value));
    if (!whole || (value as number) < min || (value as number) > max)
      reject(path, value, `a whole number from ${min} to ${max}`);
  };
}

/** Integers of C and Go types. */
export const u16 = integer(0, 65535);
export const u32 = integer(0, 4294967295);
export const i32 = integer(-2147483648, 2147483647);
export const i64 = integer(-(2n ** 63n), 2n ** 63n - 1n);
export const u64 = integer(0, 2n ** 64n - 1n);

/** One of the given words. */
export function word(words: readonly string[]): Check {
  return (value, path) => {
    if (!words.includes(value as string)) reject(path, value, `one of ${words.join(", ")}`);
  };
}

/** A string that matches a pattern, described by `expected`. */
export function pattern(form: RegExp, expected: string): Check {
  return (value, path) => {
    if (typeof value !== "string" || !form.test(value)) reject(path, value, expected);
  };
}

/** A list, each element by the same check. */
export function list(of: Check): Check {
  return (value, path) => {
    if (!Array.isArray(value)) reject(path, value, "a list");
    for (let i = 0; i < value.length; i++) of(value[i], `${path}[${i}]`);
  };
}

/** An object with free keys. */
export function map(of: Check): Check {
  return (value, path) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) reject(path, value, "an object");
    for (const [key, field] of Object.entries(value)) {
      if (key.includes("\0")) reject(path, key, "keys without NUL bytes");
      of(field, `${path}[${JSON.stringify(key)}]`);
    }
  };
}

/**
 * Renames a field in other capitals ("pagesize") to its proper name, as Go readers do. If both are present, objects
 * are merged, and of other values the later one wins.
 */
function foldName(found: Record<string, unknown>, key: string, name: string): void {
  const value = found[key];
  delete found[key];
  const there = found[name];
  const both = [there, value].every((v) => typeof v === "object" && v !== null && !Array.isArray(v));
  found[name] = both ? { ...(there as object), ...(value as object) } : value;
}

/**
 * An object with known fields: `fields` by name, in any capitals; those named in `required` must be present. Unknown
 * fields are left alone, as the specification asks. A null field counts as absent (Go readers agree) and is removed
 * from the object.
 */
export function object(fields: Readonly<Record<string, Check>>, required: readonly string[] = []): Check {
  const names = Object.keys(fields);
  const byFoldedName = new Map(names.map((n) => [n.toLowerCase(), n]));
  return (value, path) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) reject(path, value, "an object");
    const found = value as Record<string, unknown>;
    for (const key of Object.keys(found)) {
      const name = Object.hasOwn(fields, key) ? undefined : byFoldedName.get(key.toLowerCase());
      if (name !== undefined) foldName(found, key, name);
    }
    for (const key of names) {
      const field = found[key];
      if (field === null) delete found[key];
      else if (field !== undefined) fields[key]!(field, path === "" ? key : `${path}.${key}`);
    }
    for (const key of required)
      if (found[key] === undefined)
        reject(path === "" ? key : `${path}.${key}`, undefined, "this required field");
  };
}
