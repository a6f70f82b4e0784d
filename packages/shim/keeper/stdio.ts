/** Converts containerd's stdio URIs to the runtime's streams. */
import { CRI_LOG } from "@berth/base";
import type { LogRotation, Stream, Streams } from "@berth/runtime";
import { invalidStdio, rotationOf } from "../contract/log-uri.ts";
import type { Stdio } from "../contract/task-shim.ts";
import type { LoggingProgram } from "./logger.ts";

/** Streams; with a logging program, stdout and stderr are inherited slots 0 and 1. */
export interface TaskStreams {
  streams: Streams;
  logger?: LoggingProgram;
}

function absolutePath(field: string, uri: string, path: string): string {
  if (!path.startsWith("/")) throw invalidStdio(field, uri, "an absolute path");
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
  throw invalidStdio(
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
    // The first value of a repeated key, as in containerd.
    args: [...new Set(searchParams.keys())].flatMap((key) => [key, searchParams.get(key)!]),
    mustSayReady: uri.startsWith("binary-v2"),
  };
}

/** Parses the stdio of a request; "invalid_argument" names the invalid field. */
export function streamsOf(stdio: Stdio): TaskStreams {
  const { stdout, stderr, terminal } = stdio;
  if (BINARY.test(stdout)) {
    if (!terminal && stderr !== stdout && stderr !== "")
      throw invalidStdio("stderr", stderr, `the logging program of stdout, ${stdout}`);
    const stdin = streamOf("stdin", stdio.stdin);
    const slot = (n: number): Stream => ({ kind: "inherited", slot: n });
    return {
      streams: { stdin, stdout: slot(0), stderr: terminal || stderr === "" ? { kind: "null" } : slot(1) },
      logger: programOf("stdout", stdout),
    };
  }
  if (BINARY.test(stderr))
    throw invalidStdio("stderr", stderr, "a logging program only where stdout has the same one");
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
      throw invalidStdio("stderr", stderr, `the log file of stdout, ${out.path}`);
    return { stdin, stdout: out.copy, stderr: err?.copy ?? { kind: "null" }, ...log };
  }
  if (stderr.startsWith(CRI_LOG))
    throw invalidStdio("stderr", stderr, "a cri-log only where stdout has the same one");
  return {
    stdin,
    stdout: streamOf("stdout", stdout),
    stderr: terminal ? { kind: "null" } : streamOf("stderr", stderr),
  };
}
