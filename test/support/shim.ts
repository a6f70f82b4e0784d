/** Shared by the shim's tests: a shim in a separate folder, with helpers to create containers and to restart it. */
import assert from "node:assert/strict";
import { createReadStream, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { defaultSpec, type Spec } from "@berth/oci";
import {
  createTaskShim,
  type ShimOptions,
  type Stdio,
  type TaskEvent,
  type TaskOptions,
  type TaskShim,
} from "@berth/shim";
import { realSys } from "@berth/sys";
import { makeRootfs } from "./bundles.ts";

export const NONE: Stdio = { stdin: "", stdout: "", stderr: "", terminal: false };
export const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
let count = 0;

export interface Bench {
  folder: string;
  shim: TaskShim;
  events: TaskEvent[];
  /** Creates a container that runs a shell script. */
  create(
    script: string,
    stdio?: Stdio,
    change?: (spec: Spec) => void,
    options?: TaskOptions,
  ): Promise<{ namespace: string; id: string }>;
  open(): TaskShim;
}

export async function bench(t: TestContext, options: Partial<ShimOptions> = {}): Promise<Bench> {
  const folder = mkdtempSync(join(tmpdir(), "berth-shim-"));
  makeRootfs(join(folder, "image"));
  const events: TaskEvent[] = [];
  const shims: TaskShim[] = [];
  const open = () => {
    const shim = createTaskShim({ stateDir: join(folder, "state"), ...options });
    shim.onEvent((event) => events.push(event));
    shims.push(shim);
    return shim;
  };
  const shim = open();
  // The shim's sockets keep no process alive; a waiting test must.
  const alive = setInterval(() => {}, 1000);
  t.after(async () => {
    try {
      const last = shims.at(-1)!;
      for (const task of last.list("test")) {
        await last.kill(task, 9, true).catch(() => {});
        await last.wait(task);
        await last.delete(task);
      }
      for (const s of shims) await s.close();
      assert.deepEqual(readdirSync(join(folder, "state/keepers")), [], "keepers left files");
    } finally {
      clearInterval(alive);
      rmSync(folder, { recursive: true, force: true });
    }
  });
  const create: Bench["create"] = async (script, stdio = NONE, change = () => {}, options = {}) => {
    const spec = defaultSpec();
    spec.process!.terminal = stdio.terminal;
    spec.process!.args = ["sh", "-c", script];
    change(spec);
    const ref = { namespace: "test", id: `test-${process.pid}-${++count}` };
    await shim.create({
      ...ref,
      stdio,
      options,
      spec: encode(spec),
      rootfs: [{ type: "bind", source: join(folder, "image"), options: ["rbind"] }],
    });
    return ref;
  };
  return { folder, shim, events, create, open };
}

export const mkfifo = (path: string) => {
  realSys.mkfifo(path, 0o600);
  return path;
};

/** Reads a FIFO to its end. */
export function reading(path: string): Promise<string> {
  const stream = createReadStream(path, { encoding: "utf8" });
  return new Promise((resolve, reject) => {
    let out = "";
    stream.on("data", (text) => {
      out += text;
    });
    stream.on("end", () => resolve(out));
    stream.on("error", reject);
  });
}
