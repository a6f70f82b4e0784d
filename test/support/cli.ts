/** A separate daemon with an image built from Debian's busybox, and the compiled `berth` to talk to it. */

import { type ChildProcess, spawn } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BIN } from "./checkout.ts";
import { makeImage, ociArchive, tar } from "./images.ts";

/** Result of a command. */
export interface Ran {
  code: number;
  out: string;
  err: string;
}

/** How to run a command. */
export interface RunOptions {
  input?: string | Buffer;
  /** Milliseconds until it is killed; a test that hangs must fail. */
  timeout?: number;
  env?: Record<string, string>;
}

/** A running daemon. */
export interface Cli {
  folder: string;
  address: string;
  /** Runs `berth` with these arguments. */
  berth(args: string[], options?: RunOptions): Promise<Ran>;
  /** Starts `berth`; returns the process and a promise of its exit code. */
  start(args: string[]): { child: ChildProcess; closed: Promise<number | null> };
  /** Kills the daemon without warning. */
  down(): Promise<void>;
  /** Starts it again on the same directories. */
  up(): Promise<void>;
  /** Kills the daemon without warning and starts another one on the same directories. */
  crash(): Promise<void>;
  /**
   * Simulates a reboot: the daemon and all processes of its containers are killed, and the state folder is emptied.
   * Then the daemon is started again.
   */
  reboot(): Promise<void>;
  /** Output of all daemons so far. */
  log(): string;
  /** Removes every container, stops the daemon, and returns leftovers. */
  close(): Promise<string[]>;
}

/** Starts a daemon and loads "busybox:latest" into it. */
export async function startCli(): Promise<Cli> {
  const folder = mkdtempSync(join(tmpdir(), "berth-cli-"));
  const address = `unix://${folder}/state/berth.sock`;
  let log = "";
  const launch = () => {
    const made = spawn(join(BIN, "berthd"), ["--root", `${folder}/root`, "--state", `${folder}/state`], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    made.stderr!.on("data", (chunk) => {
      log += chunk;
    });
    return made;
  };
  let daemon = launch();
  // A client killed by a test leaves its FIFOs: below our folder, which is removed at the end.
  const env = (more: Record<string, string> = {}) => ({
    ...process.env,
    BERTH_ADDRESS: address,
    TMPDIR: folder,
    ...more,
  });
  const berth = (args: string[], options: RunOptions = {}) =>
    collect(spawn(join(BIN, "berth"), args, { env: env(options.env) }), options);
  const answers = async () => {
    for (let tries = 0; (await berth(["version"])).code !== 0; tries++) {
      if (tries > 100 || daemon.exitCode !== null) throw new Error(`berthd did not start:\n${log}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const down = async () => {
    const ended = new Promise((resolve) => daemon.once("exit", resolve));
    daemon.kill("SIGKILL");
    await ended;
  };
  const up = async () => {
    daemon = launch();
    await answers();
  };
  await answers();
  writeFileSync(`${folder}/busybox.tar`, busyboxArchive("docker.io/library/busybox:latest"));
  const loaded = await berth(["load", "-q", "-i", `${folder}/busybox.tar`]);
  if (loaded.code !== 0) throw new Error(`cannot load the image: ${loaded.err}\n${log}`);
  return {
    folder,
    address,
    berth,
    start: (args) => {
      const child = spawn(join(BIN, "berth"), args, { env: env() });
      // "close" only comes once everything was read.
      child.stdout!.resume();
      child.stderr!.resume();
      return { child, closed: new Promise((resolve) => child.once("close", resolve)) };
    },
    down,
    up,
    crash: async () => {
      await down();
      await up();
    },
    reboot: async () => {
      await down();
      killTasks(join(folder, "state"));
      rmSync(join(folder, "state"), { recursive: true });
      await up();
    },
    log: () => log,
    close: async () => {
      const ids = (await berth(["ps", "-aq", "--no-trunc"])).out.split("\n").filter(Boolean);
      if (ids.length > 0) await berth(["rm", "-f", ...ids]);
      const left = leftovers(folder);
      const ended = new Promise((resolve) => daemon.once("exit", resolve));
      daemon.kill("SIGTERM");
      await ended;
      rmSync(folder, { recursive: true, force: true });
      return left;
    },
  };
}

async function collect(child: ChildProcess, options: RunOptions): Promise<Ran> {
  let out = "";
  let err = "";
  child.stdout!.on("data", (chunk) => {
    out += chunk;
  });
  child.stderr!.on("data", (chunk) => {
    err += chunk;
  });
  // A command that does not read its input closes the pipe under us.
  child.stdin!.on("error", () => {});
  child.stdin!.end(options.input ?? "");
  const timer = setTimeout(() => child.kill("SIGKILL"), options.timeout ?? 20_000);
  const code = await new Promise<number>((resolve) => {
    child.once("close", (status, signal) => resolve(status ?? (signal ? -1 : 0)));
  });
  clearTimeout(timer);
  return { code, out, err };
}

function busyboxArchive(name: string): Buffer {
  const applets =
    "sh cat echo ls id env pwd hostname sleep true false test touch head tail wc md5sum grep kill stty tty ps mount".split(
      " ",
    );
  const folder = (path: string, mode = 0o755) => ({ name: `${path}/`, type: "5", mode });
  const layer = tar(
    folder("bin"),
    { name: "bin/busybox", mode: 0o755, data: readFileSync("/bin/busybox") },
    ...applets.map((applet) => ({ name: `bin/${applet}`, type: "2", linkname: "busybox" })),
    folder("etc"),
    {
      name: "etc/passwd",
      mode: 0o644,
      data: "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000::/home/web:/bin/sh\n",
    },
    { name: "etc/group", mode: 0o644, data: "root:x:0:\nweb:x:1000:\nextra:x:2000:web\n" },
    { name: "etc/notes", mode: 0o644, data: "not a program\n" },
    ...["proc", "sys", "dev", "root", "home", "home/web"].map((path) => folder(path)),
    folder("tmp", 0o1777),
  );
  const image = makeImage([layer], "gzip", {
    Env: ["PATH=/bin", "FROM=image"],
    Cmd: ["sh"],
    Labels: { made: "by test" },
  });
  return ociArchive(image, name);
}

// Kills the containers in a daemon's state folder, with their keepers and cgroups, like a power loss.
function killTasks(state: string): void {
  const tasks = join(state, "io.containerd.runtime.v2.task");
  for (const namespace of readdirSync(tasks))
    for (const id of readdirSync(join(tasks, namespace))) {
      const { pid, token } = JSON.parse(readFileSync(join(tasks, namespace, id, "task.json"), "utf8"));
      // By name, as the pid of a container that is being started may not be recorded yet.
      for (const each of new Set([...launchedAs(token), pid].filter((p) => p > 0)))
        try {
          process.kill(each, "SIGKILL");
        } catch {
          // It has exited by itself.
        }
      const record = join(state, "runc", namespace, id, "record.json");
      if (!existsSync(record)) continue;
      const { cgroup } = JSON.parse(readFileSync(record, "utf8"));
      for (const path of [...Object.values<string>(cgroup.v1), cgroup.unified])
        for (let tries = 0; path && existsSync(path) && tries < 100; tries++)
          try {
            rmdirSync(path);
          } catch {
            Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
          }
    }
}

// The keeper with this token, and its process until it execs.
function launchedAs(token: string): number[] {
  return readdirSync("/proc").flatMap((name) => {
    try {
      const words = readFileSync(`/proc/${Number(name)}/cmdline`, "utf8").split("\0");
      return words[0] === "berth-init" && words[2] === `${token}.exit` ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}

// Mounts, cgroups, FIFOs and files of containers that should be gone.
function leftovers(folder: string): string[] {
  const found: string[] = [];
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n"))
    if (line.includes(folder)) found.push(`mount ${line}`);
  for (const sub of ["root/logs/default", "state/tasks/default"])
    if (existsSync(join(folder, sub)))
      found.push(...readdirSync(join(folder, sub)).map((name) => `${sub}/${name}`));
  return found;
}
