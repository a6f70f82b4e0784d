/**
 * Stream processors: programs that turn a layer of one media type into another, such as an encrypted one into a plain one.
 * Containerd's interface (docs/stream_processors): the layer on standard input, the result on standard output, a client's
 * payload on descriptor 3.
 */
import { type ChildProcess, spawn } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { BerthError, stage } from "@berth/base";
import type { Descriptor } from "@berth/oci";
import { collectOutput } from "../../base/core/output.ts";

/** A program, and the types that it takes and gives. */
export interface StreamProcessor {
  id: string;
  accepts: readonly string[];
  returns: string;
  /** A path, or a name that is looked up in PATH. */
  path: string;
  args: readonly string[];
  /** Further variables, "NAME=value". */
  env: readonly string[];
}

/** What clients send to processors, by their ids: encoded messages. */
export type Payloads = Readonly<Record<string, Uint8Array>>;

/** A layer as it is applied; close it. */
export interface ProcessedLayer {
  /** Its file: the given one if there is nothing to process. */
  path: string;
  size: number;
  close(): void;
}

/** The processors of the settings. */
export class StreamProcessors {
  readonly #all: readonly StreamProcessor[];
  readonly #folder: string;

  /** `folder` is where processed layers lie while they are applied. */
  constructor(all: readonly StreamProcessor[], folder: string) {
    this.#all = all;
    this.#folder = folder;
  }

  /** The programs that a layer of this type goes through; none if it is applied as it is. */
  chain(mediaType: string): readonly StreamProcessor[] {
    const chain: StreamProcessor[] = [];
    for (let type = mediaType; ; type = chain.at(-1)!.returns) {
      const next = this.#all.find((each) => each.accepts.includes(type) && !chain.includes(each));
      if (next === undefined) return chain;
      chain.push(next);
    }
  }

  /** Sends a layer's file through its chain, if it has one. */
  async process(
    file: string,
    layer: Descriptor,
    payloads: Payloads = {},
    signal?: AbortSignal,
  ): Promise<ProcessedLayer> {
    const chain = this.chain(layer.mediaType);
    if (chain.length === 0) return { path: file, size: fs.statSync(file).size, close: () => {} };
    return stage("process layer", { digest: layer.digest, programs: chain.length }, async () => {
      fs.mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
      const place = fs.mkdtempSync(join(this.#folder, "layer-"));
      const target = fs.openSync(join(place, "tar"), "wx+", 0o600);
      // It goes with its descriptor, also when the daemon is killed.
      fs.rmSync(place, { recursive: true });
      const source = fs.openSync(file, "r");
      try {
        await run(chain, source, target, payloads, signal);
        const path = `/proc/self/fd/${target}`;
        return { path, size: fs.fstatSync(target).size, close: () => fs.closeSync(target) };
      } catch (error) {
        fs.closeSync(target);
        throw error;
      } finally {
        fs.closeSync(source);
      }
    });
  }
}

async function run(
  chain: readonly StreamProcessor[],
  source: number,
  target: number,
  payloads: Payloads,
  signal: AbortSignal | undefined,
): Promise<void> {
  const stop = new AbortController();
  const ended: Promise<void>[] = [];
  let input: number | Readable = source;
  for (const [i, processor] of chain.entries()) {
    const { path, args, env, id } = processor;
    const payload = payloads[id];
    const child: ChildProcess = spawn(path, args, {
      env: { ...process.env, ...Object.fromEntries(env.map(parseVariable)) },
      stdio: [
        typeof input === "number" ? input : "pipe",
        i === chain.length - 1 ? target : "pipe",
        "pipe",
        payload === undefined ? "ignore" : "pipe",
      ],
      signal: signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]),
      killSignal: "SIGKILL",
    });
    if (typeof input !== "number") {
      // What ends early says why itself.
      child.stdin!.on("error", () => {});
      input.pipe(child.stdin!);
    }
    input = child.stdout ?? source;
    const fd3 = child.stdio[3] as NodeJS.WritableStream | null | undefined;
    fd3?.on("error", () => {});
    if (payload !== undefined) fd3?.end(payload);
    ended.push(endOf(child, id, signal));
  }
  try {
    await Promise.all(ended);
  } catch (error) {
    stop.abort();
    await Promise.allSettled(ended);
    throw error;
  }
}

function parseVariable(text: string): [name: string, value: string] {
  const at = text.indexOf("=");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

/** Resolves when a program has ended well. */
function endOf(child: ChildProcess, id: string, signal: AbortSignal | undefined): Promise<void> {
  const complaints = collectOutput(child.stderr!);
  const failure = (why: string, cause?: unknown) =>
    new BerthError("failed_precondition", `stream processor ${id}: ${why}`, {
      stage: "process layer",
      cause,
    });
  return new Promise((resolve, reject) => {
    child.on("error", (cause) => {
      if (signal?.aborted) reject(BerthError.from(signal.reason));
      else reject(failure(`it cannot be run: ${cause.message}`, cause));
    });
    child.on("close", (code, killed) => {
      if (code === 0) resolve();
      else reject(failure(`${complaints().trim() || "it has failed"} (exit code ${code ?? killed})`));
    });
  });
}
