/** A daemon that can be killed at will, its directories, and the commands and containers around it. */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { BerthClient, examine } from "@berth/client";
import { linux, realSys } from "@berth/sys";
import { BIN } from "../support/checkout.ts";
import { makeImage, ociArchive, type TestImage, tar } from "../support/images.ts";
import { sleep, until } from "../support/until.ts";
import { difference, processes, traces } from "./traces.ts";

const KILLER = join(import.meta.dirname, "killer.ts");
/** Timeout of every operation, in milliseconds. */
const TIMEOUT_MS = 15_000;

/** Result of a command. */
export interface Ran {
  code: number;
  out: string;
  err: string;
}

/** Where to kill the daemon. */
export interface Point {
  /** Number of the step before which it is killed. */
  at: number;
  /** For a process spawned there: kills this many microseconds later. */
  delay?: number;
  name: string;
}

/**
 * The tests' image: busybox in one layer, a file and a user in the next; images with different marks share no layer.
 */
export function testImage(mark = "own"): TestImage {
  const folder = (path: string, mode = 0o755) => ({ name: `${path}/`, type: "5", mode });
  const applets = ["sh", "cat", "echo", "sleep", "true", "id"];
  return makeImage(
    [
      tar(
        folder("bin"),
        { name: "bin/busybox", mode: 0o755, data: readFileSync("/bin/busybox") },
        ...applets.map((applet) => ({ name: `bin/${applet}`, type: "2", linkname: "busybox" })),
        ...["proc", "sys", "dev", mark].map((path) => folder(path)),
      ),
      tar(folder("etc"), folder(`etc/${mark}`), {
        name: "etc/passwd",
        mode: 0o644,
        data: "root:x:0:0::/:/bin/sh\nweb:x:1000:1000::/:/bin/sh\n",
      }),
    ],
    "gzip",
    { User: "web" },
  );
}

/** A daemon with its directories and commands. */
export class Lane {
  readonly folder = mkdtempSync(join(tmpdir(), "berth-crash-"));
  readonly namespace: string;
  /** Folder of the binaries: this checkout's, unless set. */
  bin: string;
  readonly image = "docker.io/library/crash:1";
  /** The daemon's limit on open files; undefined to inherit this process's. */
  openFiles: number | undefined;
  #daemon: ChildProcess | undefined;
  #ended: Promise<unknown> = Promise.resolve();
  #log = "";

  constructor(namespace: string, bin = BIN) {
    this.namespace = namespace;
    this.bin = bin;
    for (const name of ["root", "state", "tmp"]) mkdirSync(join(this.folder, name));
  }

  /** Starts a daemon and loads the image; removed at the end of the test. */
  static async start(t: TestContext, name: string): Promise<Lane> {
    const made = new Lane(`${name}-${process.pid}`);
    t.after(() => made.close());
    await made.up();
    await made.load();
    return made;
  }

  get socket(): string {
    return `${this.folder}/state/berth.sock`;
  }

  /** Output of all daemons so far. */
  get log(): string {
    // A crash of Node prints lines of the bundle, which are long.
    return this.#log.replace(/^.{400,}$/gm, (line) => `${line.slice(0, 400)}...`);
  }

  get pid(): number {
    return this.#daemon?.pid ?? 0;
  }

  get alive(): boolean {
    return this.#daemon !== undefined && this.#daemon.exitCode === null && this.#daemon.signalCode === null;
  }

  /** Starts the daemon, with additional arguments, and waits until it answers. */
  async up(more: readonly string[] = []): Promise<void> {
    const { folder } = this;
    const args = ["--root", `${folder}/root`, "--state", `${folder}/state`, "--log-level", "warn", ...more];
    // Set by a shell: Node has no API for it.
    const limit = this.openFiles === undefined ? "" : `ulimit -n ${this.openFiles} && `;
    const daemon = spawn("/bin/sh", ["-c", `${limit}exec "$0" "$@"`, join(this.bin, "berthd"), ...args], {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      env: {
        ...process.env,
        NODE_OPTIONS: `--disable-warning=ExperimentalWarning --import=${KILLER}`,
        BERTH_TEST_STEPS: join(folder, "steps"),
      },
    });
    daemon.stderr!.on("data", (chunk) => {
      this.#log += chunk;
    });
    this.#daemon = daemon;
    this.#ended = new Promise((resolve) => daemon.once("exit", resolve));
    await until("the daemon answers", async () => {
      if (!this.alive) throw new Error(`berthd did not start:\n${this.log}`);
      return (await answers(this.socket)) || undefined;
    });
  }

  async down(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.alive) this.#daemon!.kill(signal);
    await this.#ended;
  }

  /** Sends the killer its next instruction. */
  #instruct(message: object): Promise<void> {
    return new Promise((resolve, reject) => {
      const daemon = this.#daemon!;
      daemon.once("message", () => resolve());
      daemon.once("exit", () => reject(new Error("the daemon is gone")));
      daemon.send(message);
    });
  }

  /** Runs `work` and returns the steps that the daemon took, including those shortly after. */
  async record(work: () => Promise<unknown>): Promise<string[]> {
    const path = join(this.folder, "steps");
    writeFileSync(path, "");
    await this.#instruct({ record: true });
    await work();
    await sleep(150);
    await this.#instruct({});
    return readFileSync(path, "utf8")
      .split("\n")
      .filter(Boolean)
      .map((line) => line.replace(/^\d+ /, ""));
  }

  /**
   * Runs `work` with a daemon that is killed at `point`, or after the work; then starts a new one. Returns the
   * outcome of the work (some clients wait for the daemon to come back), and whether the point was reached.
   */
  async dieAt<T>({ at, delay }: Point, work: () => Promise<T>): Promise<{ result: T; reached: boolean }> {
    await this.#instruct({ at, ...(delay === undefined ? {} : { delay }) });
    const working = work();
    await Promise.race([working, this.#ended]);
    // Part of it happens after the client has its answer.
    for (let tries = 0; this.alive && tries < 15; tries++) await sleep(10);
    const reached = !this.alive;
    await this.down();
    await this.up();
    return { result: await working, reached };
  }

  /** Runs `berth`. */
  berth(...args: string[]): Promise<Ran> {
    return this.berthKilled(TIMEOUT_MS, ...args);
  }

  /** Runs `berth`, and kills it after so many milliseconds: its exit code is then -1. */
  berthKilled(ms: number, ...args: string[]): Promise<Ran> {
    return new Promise((resolve) => {
      const child = spawn(join(this.bin, "berth"), args, {
        stdio: ["ignore", "pipe", "pipe"],
        env: {
          ...process.env,
          BERTH_ADDRESS: `unix://${this.socket}`,
          BERTH_NAMESPACE: this.namespace,
          TMPDIR: join(this.folder, "tmp"),
        },
      });
      let [out, err] = ["", ""];
      child.stdout.on("data", (chunk) => {
        out += chunk;
      });
      child.stderr.on("data", (chunk) => {
        err += chunk;
      });
      const timer = setTimeout(() => child.kill("SIGKILL"), ms);
      child.once("close", (code) => {
        clearTimeout(timer);
        resolve({ code: code ?? -1, out, err });
      });
    });
  }

  /** The same for commands that must succeed; returns the output without its last newline. */
  async must(...args: string[]): Promise<string> {
    const { code, out, err } = await this.berth(...args);
    if (code !== 0) throw new Error(`berth ${args.join(" ")}: exit ${code}: ${err}${out}`);
    return out.trimEnd();
  }

  client(): BerthClient {
    return new BerthClient({ address: `unix://${this.socket}`, namespace: this.namespace });
  }

  async load(): Promise<void> {
    const path = join(this.folder, "image.tar");
    writeFileSync(path, ociArchive(testImage(), this.image));
    await this.must("load", "-q", "-i", path);
    rmSync(path);
  }

  /** A container's facts, as printed by `inspect`. */
  async inspect(
    name: string,
  ): Promise<{ Id: string; State: { Status: string; ExitCode: number; Pid: number } }> {
    return JSON.parse(await this.must("inspect", name))[0];
  }

  /** Leaks, according to berth. */
  leaks(): Promise<string[]> {
    return this.#examine(false);
  }

  /** Removes the leaks that berth finds; returns them. */
  fix(): Promise<string[]> {
    return this.#examine(true);
  }

  async #examine(fix: boolean): Promise<string[]> {
    const client = this.client();
    try {
      const { findings } = await examine(client.connection, {
        fix,
        temporaryFolders: [join(this.folder, "tmp")],
      });
      return findings
        .filter(({ where }) => where.includes(this.folder) || where.includes(this.namespace))
        .map(({ kind, where, why }) => `doctor: ${kind} ${where}: ${why}`);
    } finally {
      client.close();
    }
  }

  traces(): string[] {
    this.#reap();
    return traces({
      folder: this.folder,
      namespace: this.namespace,
      reaper: process.pid,
      known: this.alive ? [this.pid] : [],
    });
  }

  /** Waits until everything is as before; returns the remaining differences. */
  async settle(before: readonly string[], timeoutMs = 4000): Promise<string[]> {
    let left: string[] = [];
    for (const deadline = performance.now() + timeoutMs; performance.now() < deadline; await sleep(20)) {
      left = difference(before, this.traces());
      if (left.length === 0) break;
    }
    return left;
  }

  /** Orphans of killed daemons are this process's children, unknown to Node. */
  #reap(): void {
    for (const name of readdirSync("/proc").filter((each) => /^\d+$/.test(each))) {
      const pid = Number(name);
      try {
        const status = readFileSync(`/proc/${pid}/status`, "utf8");
        if (new RegExp(`^State:\\s*Z[^]*^PPid:\\s*${process.pid}$`, "m").test(status) && pid !== this.pid)
          if (!/^Name:\s*berth$/m.test(status)) realSys.reap(pid);
      } catch {
        // It is gone.
      }
    }
  }

  /** Kills everything below this process and removes the folder, whatever the test's result. */
  async close(): Promise<void> {
    await this.down();
    thawCgroups(join("/sys/fs/cgroup/freezer", this.namespace));
    for (let tries = 0; tries < 200; tries++) {
      const left = processes({ reaper: process.pid, known: [] });
      if (left.length === 0) break;
      for (const pid of left) realSys.kill(pid, 9);
      await sleep(10);
      this.#reap();
    }
    for (const line of readFileSync("/proc/self/mounts", "utf8").split("\n").reverse()) {
      const point = line.split(" ")[1];
      if (point?.startsWith(`${this.folder}/`)) await linux.umount(point, linux.MNT_DETACH);
    }
    for (const hierarchy of ["", ...readdirSync("/sys/fs/cgroup")])
      removeCgroups(join("/sys/fs/cgroup", hierarchy, this.namespace));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Frozen processes do not die. */
function thawCgroups(folder: string): void {
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true }))
      if (entry.isDirectory()) thawCgroups(join(folder, entry.name));
    writeFileSync(join(folder, "freezer.state"), "THAWED");
  } catch {
    // There is none, or it is gone.
  }
}

function removeCgroups(folder: string): void {
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true }))
      if (entry.isDirectory()) removeCgroups(join(folder, entry.name));
    realSys.rmdir(folder);
  } catch {
    // Not in this hierarchy.
  }
}

function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = net.connect(socket, () => {
      probe.destroy();
      resolve(true);
    });
    probe.on("error", () => resolve(false));
  });
}
