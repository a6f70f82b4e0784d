/** What stdio URIs have in common, whichever shim reads them. */
import { BerthError, MAX_LOG_FILES } from "@berth/base";
import type { LogRotation } from "@berth/runtime";

/** The error for a stdio field that makes no sense. */
export function invalidStdio(field: string, uri: string, expected: string): BerthError {
  return new BerthError("invalid_argument", `${field}: found ${JSON.stringify(uri)}, expected ${expected}`, {
    stage: "streams",
  });
}

/** Reads max-size, in bytes, and max-files off a log's URI; a size of 0 or less is none. */
export function rotationOf(field: string, uri: string): LogRotation | undefined {
  const query = new URL(uri).searchParams;
  const number = (name: string, otherwise: number) => {
    const given = query.get(name);
    if (given === null) return otherwise;
    if (!/^-?\d{1,15}$/.test(given)) throw invalidStdio(field, uri, `a whole number as ${name}`);
    return Number(given);
  };
  const bytes = number("max-size", 0);
  const files = number("max-files", 1);
  if (files < 1 || files > MAX_LOG_FILES)
    throw invalidStdio(field, uri, `max-files from 1 to ${MAX_LOG_FILES}`);
  return bytes > 0 ? { bytes, files } : undefined;
}
