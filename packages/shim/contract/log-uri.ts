/** Parsing of stdio URIs, shared by both kinds of shims. */
import { BerthError, MAX_LOG_FILES } from "@berth/base";
import type { LogRotation } from "@berth/runtime";

/** The error for an invalid stdio field. */
export function invalidStdio(field: string, uri: string, expected: string): BerthError {
  return new BerthError("invalid_argument", `${field}: found ${JSON.stringify(uri)}, expected ${expected}`, {
    stage: "streams",
  });
}

/** Parses max-size (bytes) and max-files of a log's URI; undefined without a positive size. */
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
