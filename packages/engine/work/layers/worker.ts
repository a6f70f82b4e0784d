/** The thread that applies layers: reads, decompresses, hashes and unpacks, one job at a time. */
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { parentPort } from "node:worker_threads";
import { BerthError } from "@berth/base";
import { LayerApplier } from "./apply.ts";
import { decompress } from "./decompress.ts";
import type { Applied, ApplyJob, FromWorker, ToWorker } from "./protocol.ts";
import { TarParser } from "./tar.ts";

const CHUNK = 256 << 10;

interface State {
  available: number;
  final: boolean;
  cancelled: string | undefined;
  wake: (() => void) | undefined;
}

const jobs = new Map<number, State>();

/** Yields the file's bytes, waiting for it to grow where necessary. */
async function* follow(file: string, state: State): AsyncGenerator<Uint8Array> {
  const handle = await open(file, "r");
  try {
    for (let at = 0; ; ) {
      if (state.cancelled !== undefined)
        throw new BerthError("canceled", state.cancelled, { stage: "unpack" });
      const ready = Math.min(CHUNK, state.available - at);
      if (ready > 0) {
        const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(ready), 0, ready, at);
        if (bytesRead === 0)
          throw new BerthError("data_loss", `${file} became shorter while it was read`, { path: file });
        at += bytesRead;
        yield buffer.subarray(0, bytesRead);
      } else if (state.final) return;
      else
        await new Promise<void>((resolve) => {
          state.wake = resolve;
        });
    }
  } finally {
    await handle.close();
  }
}

async function apply(job: ApplyJob, state: State): Promise<Applied> {
  const applier = new LayerApplier(job.target);
  try {
    const hash = createHash("sha256");
    const parser = new TarParser(applier);
    let size = 0;
    for await (const chunk of decompress(follow(job.file, state), job.name)) {
      size += chunk.length;
      hash.update(chunk);
      parser.push(chunk);
    }
    parser.finish();
    applier.finish();
    return {
      diffId: `sha256:${hash.digest("hex")}`,
      size,
      entries: applier.entries,
      hasRoot: applier.hasRoot,
    };
  } finally {
    applier.close();
    // Wakes a pending read or wait.
    state.cancelled ??= "the layer was given up";
    state.wake?.();
  }
}

function post(message: FromWorker): void {
  parentPort!.postMessage(message);
}

parentPort!.on("message", (message: ToWorker) => {
  if (message.kind === "apply") {
    const state: State = { available: 0, final: false, cancelled: undefined, wake: undefined };
    jobs.set(message.id, state);
    apply(message, state)
      .then(
        (result) => post({ kind: "done", id: message.id, result }),
        (thrown) => {
          const error = BerthError.from(thrown, "unpack");
          const facts: Record<string, string> = {};
          for (const key of ["stage", "syscall", "errno", "path", "hint"] as const)
            if (error[key] !== undefined) facts[key] = error[key];
          post({
            kind: "failed",
            id: message.id,
            error: { code: error.code, message: error.message, facts },
          });
        },
      )
      .finally(() => jobs.delete(message.id));
    return;
  }
  const state = jobs.get(message.id);
  if (state === undefined) return;
  if (message.kind === "progress") {
    state.available = message.available;
    state.final = message.final;
  } else state.cancelled = message.reason;
  const { wake } = state;
  state.wake = undefined;
  wake?.();
});
