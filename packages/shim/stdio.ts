/** containerd's stdio URIs as the runtime's streams. */
import { BerthError, CRI_LOG, MAX_LOG_FILES } from "@berth/base";
import type { LogRotation, Stream, Streams } from "@berth/runtime";
import type { LoggingProgram } from "./logger.ts";
import type { Stdio } from "./task-shim.ts";

/** Streams, and the logging program that stdout and stderr go to: it is inherited slots 0 and 1. */
export interface TaskStreams {
  streams: Streams;
  logger?: LoggingProgram;
}

function invalid(field: string, uri: string, expected: string): BerthError {
  return new BerthError("invalid_argument", `${field}: found ${JSON.stringify(uri)}, expected ${expected}`, {
    stage: "streams",
  });
}

function absolutePath(field: string, uri: string, path: string): string {
  if (!path.startsWith("/")) throw invalid(field, uri, "an absolute path");
  return path;
}

function streamOf(field: string, uri: string): Stream {
  if (uri === "") return { kind: "null" };
  if (uri.startsWith("/")) return { kind: "fifo", path: uri };
  const at = uri.indexOf("://");
  const scheme = at < 0 ? "" : uri.slice(0, at);
  const path = decodeURI(uri.slice(at + 3).split("?", 1)[0]!);
  if (scheme === "fifo") return { kind: "fifo", path: absolutePath(field, uri, path) };
  if (scheme === "file") return { kind: "file", path: absolutePath(field, uri, path) };
  throw invalid(
    field,
    uri,
    "nothing, an absolute path of a FIFO, or fifo://, file://, binary:// or cri-log:// with one",
  );
}

interface Log {
  path: string;
  copy: Stream;
  rotation?: LogRotation;
}

/** Reads max-size, in bytes, and max-files off a log's URI; a size of 0 or less is none. */
export function rotationOf(field: string, uri: string): LogRotation | undefined {
  const query = new URL(uri).searchParams;
  const number = (name: string, otherwise: number) => {
    const given = query.get(name);
    if (given === null) return otherwise;
    if (!/^-?\d{1,15}$/.test(given)) throw invalid(field, uri, `a whole number as ${name}`);
    return Number(given);
  };
  const bytes = number("max-size", 0);
  const files = number("max-files", 1);
  if (files < 1 || files > MAX_LOG_FILES) throw invalid(field, uri, `max-files from 1 to ${MAX_LOG_FILES}`);
  return bytes > 0 ? { bytes, files } : undefined;
}

function logOf(field: string, uri: string): Log {
  const parsed = new URL(uri);
  const path = absolutePath(field, uri, decodeURIComponent(parsed.pathname));
  const attach = parsed.searchParams.get("attach");
  const rotation = rotationOf(field, uri);
  return {
    path,
    ...(rotation === undefined ? {} : { rotation }),
    copy: attach === null ? { kind: "null" } : { kind: "fifo", path: absolutePath(field, uri, attach) },
  };
}

const BINARY = /^binary(-v2)?:\/\//;

function programOf(field: string, uri: string): LoggingProgram {
  const { pathname, searchParams } = new URL(uri);
  return {
    path: absolutePath(field, uri, decodeURIComponent(pathname)),
    // Of a key that is given twice the first value counts, as in containerd.
    args: [...new Set(searchParams.keys())].flatMap((key) => [key, searchParams.get(key)!]),
    mustSayReady: uri.startsWith("binary-v2"),
  };
}

/** Turns a request's stdio into streams; "invalid_argument" names the field that makes no sense. */
export function streamsOf(stdio: Stdio): TaskStreams {
  const { stdout, stderr, terminal } = stdio;
  if (BINARY.test(stdout)) {
    if (!terminal && stderr !== stdout && stderr !== "")
      throw invalid("stderr", stderr, `the logging program of stdout, ${stdout}`);
    const stdin = streamOf("stdin", stdio.stdin);
    const slot = (n: number): Stream => ({ kind: "inherited", slot: n });
    return {
      streams: { stdin, stdout: slot(0), stderr: terminal || stderr === "" ? { kind: "null" } : slot(1) },
      logger: programOf("stdout", stdout),
    };
  }
  if (BINARY.test(stderr))
    throw invalid("stderr", stderr, "a logging program only where stdout has the same one");
  return { streams: plainStreams(stdio) };
}

function plainStreams(stdio: Stdio): Streams {
  const { stdout, stderr, terminal } = stdio;
  const stdin = streamOf("stdin", stdio.stdin);
  if (stdout.startsWith(CRI_LOG)) {
    const out = logOf("stdout", stdout);
    const log = { log: out.path, ...(out.rotation === undefined ? {} : { rotation: out.rotation }) };
    if (terminal) return { stdin, stdout: out.copy, stderr: { kind: "null" }, ...log };
    const err = stderr.startsWith(CRI_LOG) ? logOf("stderr", stderr) : undefined;
    if (err !== undefined && err.path !== out.path)
      throw invalid("stderr", stderr, `the log file of stdout, ${out.path}`);
    return { stdin, stdout: out.copy, stderr: err?.copy ?? { kind: "null" }, ...log };
  }
  if (stderr.startsWith(CRI_LOG))
    throw invalid("stderr", stderr, "a cri-log only where stdout has the same one");
  return {
    stdin,
    stdout: streamOf("stdout", stdout),
    stderr: terminal ? { kind: "null" } : streamOf("stderr", stderr),
  };
}
