/** Real peers for the engine's tests: berthd, a private containerd, docker-registry, ctr. Requires root. */

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { linux } from "@berth/sys";
import { ROOT } from "./checkout.ts";

/** Timeout of every operation, in milliseconds. */
const TIMEOUT_MS = 20_000;
const main = join(ROOT, "packages/engine/serving/main.ts");

/** Output and exit code of a command. */
export interface Ran {
  stdout: string;
  stderr: string;
  code: number;
}

/** Runs a command to its end. */
export function run(path: string, args: string[], input?: Buffer): Promise<Ran> {
  return new Promise((resolve) => {
    const child = execFile(
      path,
      args,
      { timeout: TIMEOUT_MS, maxBuffer: 64 << 20 },
      (error, stdout, stderr) =>
        resolve({
          stdout,
          stderr,
          code: error === null ? 0 : typeof error.code === "number" ? error.code : 1,
        }),
    );
    child.stdin?.end(input);
  });
}

/** A free port of the loopback interface. */
export async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  server.close();
  return port;
}

/** A process of the fixture. */
export interface Peer {
  pid: number;
  /** Its output so far. */
  log(): string;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** Starts a process and waits until it is ready, polling at the given interval in milliseconds. */
export async function start(
  path: string,
  args: string[],
  ready: () => Promise<boolean> | boolean,
  env = {},
  every = 20,
): Promise<Peer> {
  const child = spawn(path, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
  let log = "";
  child.stdout.on("data", (chunk) => (log += chunk));
  child.stderr.on("data", (chunk) => (log += chunk));
  const ended = once(child, "exit");
  const deadline = Date.now() + TIMEOUT_MS;
  while (!(await ready())) {
    if (child.exitCode !== null || Date.now() > deadline) {
      child.kill("SIGKILL");
      throw new Error(`${path} ${args.join(" ")} did not become ready:\n${log}`);
    }
    await new Promise((resolve) => setTimeout(resolve, every));
  }
  return {
    pid: child.pid!,
    log: () => log,
    stop: async (signal = "SIGTERM") => {
      child.kill(signal);
      const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
      if (child.exitCode === null && child.signalCode === null) await ended;
      clearTimeout(timer);
    },
  };
}

/** Returns a check whether the socket accepts connections. */
export function answers(socket: string): () => Promise<boolean> {
  return () =>
    new Promise((resolve) => {
      const probe = net.connect(socket, () => {
        probe.destroy();
        resolve(true);
      });
      probe.on("error", () => resolve(false));
    });
}

/** A temporary folder; at the end, everything below it is unmounted and removed. */
export class Folder {
  readonly path = mkdtempSync(join(tmpdir(), "berth-engine-"));

  async remove(): Promise<void> {
    const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
    for (const line of mounts.reverse()) {
      const point = line.split(" ")[1];
      if (point?.startsWith(`${this.path}/`)) await linux.umount(point, linux.MNT_DETACH);
    }
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A daemon with ctr. */
export interface Daemon extends Peer {
  socket: string;
  ctr(...args: string[]): Promise<Ran>;
}

function withCtr(peer: Peer, socket: string): Daemon {
  return { ...peer, socket, ctr: (...args) => run("/usr/bin/ctr", ["-a", socket, ...args]) };
}

/** Arguments for Node that run berthd below `folder`. */
export function berthdArgs(folder: string, ...extra: string[]): string[] {
  const flags = ["--root", join(folder, "root"), "--state", join(folder, "run"), ...extra];
  return ["--disable-warning=ExperimentalWarning", main, ...flags];
}

/** Starts berthd below `folder`; a second call with the same folder finds the first one's data. */
export async function startBerthd(folder: string, extra: string[] = []): Promise<Daemon> {
  const socket = join(folder, "run/berth.sock");
  const args = berthdArgs(folder, ...extra);
  const peer = await start(process.execPath, args, answers(socket));
  return withCtr(peer, socket);
}

/** Starts Debian's containerd below `folder`; a second call with the same folder finds the first one's data. */
export async function startContainerd(folder: string, env = {}): Promise<Daemon> {
  const socket = join(folder, "cd.sock");
  const config = join(folder, "containerd.toml");
  writeFileSync(config, 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n');
  const peer = await start(
    "/usr/bin/containerd",
    [
      "--config",
      config,
      "--root",
      join(folder, "cd-root"),
      "--state",
      join(folder, "cd-state"),
      "--address",
      socket,
    ],
    answers(socket),
    env,
  );
  return withCtr(peer, socket);
}

/** Starts docker-registry on a loopback port; its host name is "127.0.0.1:<port>". */
export async function startRegistry(
  folder: string,
  auth?: { htpasswd: string },
): Promise<Peer & { host: string }> {
  const port = await freePort();
  const config = join(folder, `registry-${port}.yml`);
  const lines = [
    "version: 0.1",
    "log: {level: error}",
    `storage: {filesystem: {rootdirectory: ${join(folder, `registry-${port}`)}}, delete: {enabled: true}}`,
    `http: {addr: "127.0.0.1:${port}"}`,
  ];
  if (auth !== undefined) lines.push(`auth: {htpasswd: {realm: test, path: ${auth.htpasswd}}}`);
  writeFileSync(config, `${lines.join("\n")}\n`);
  const peer = await start("/usr/bin/docker-registry", ["serve", config], () =>
    fetch(`http://127.0.0.1:${port}/v2/`).then(
      () => true,
      () => false,
    ),
  );
  return { ...peer, host: `127.0.0.1:${port}` };
}

/** Why the tests with real peers cannot run here; undefined if they can. */
export function cannotRun(...programs: string[]): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  return programs.find((program) => !existsSync(program))?.concat(" is not installed");
}
