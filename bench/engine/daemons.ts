/** The daemons to measure: the built berthd, Debian's containerd, and a later one if available. */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../test/support/checkout.ts";
import { answers, type Peer, start } from "../../test/support/daemons.ts";
import { CpuAccount } from "./accounting.ts";

/** How to run a daemon, and how to identify its helpers. */
export interface Program {
  name: string;
  /** Unique: runc's records of all containerds are in one place, by namespace and id. */
  namespace: string;
  /** Socket of its API. */
  socket: string;
  argv: readonly string[];
  env: Record<string, string>;
  /** Part of the command line of a container's shim or keeper. */
  helper(id: string): string;
  /** The bundled client. */
  ctr: string;
}

/** berthd below `folder`. */
export function berthd(folder: string): Program {
  return {
    name: "berthd",
    namespace: `bench-${process.pid}-berth`,
    socket: join(folder, "run/berth.sock"),
    argv: [join(ROOT, "bin/berthd"), "--root", join(folder, "root"), "--state", join(folder, "run")],
    env: {},
    helper: (id) => `berth-init\0${id}`,
    ctr: "/usr/bin/ctr",
  };
}

/** A containerd below `folder`; its binaries, including its shim and runc, are looked up in `programs` first. */
export function containerd(folder: string, label: string, programs: string): Program {
  const version = spawnSync(join(programs, "containerd"), ["--version"], { encoding: "utf8" }).stdout ?? "";
  const number = /\d+\.\d+\.\d+/.exec(version)?.[0];
  if (number === undefined) throw new Error(`${programs}/containerd does not say its version: ${version}`);
  const socket = join(folder, `${label}.sock`);
  const config = join(folder, `${label}.toml`);
  // Without CRI, which is not measured: by its name in 1.x and those in 2.x.
  const cri = ["grpc.v1.cri", "cri.v1.images", "cri.v1.runtime"].map((n) => `"io.containerd.${n}"`);
  writeFileSync(config, `version = 2\ndisabled_plugins = [${cri.join(", ")}]\n`);
  const namespace = `bench-${process.pid}-${label}`;
  return {
    name: `containerd ${number}`,
    namespace,
    socket,
    argv: [
      ...[join(programs, "containerd"), "--config", config, "--address", socket],
      ...["--root", join(folder, `${label}-root`), "--state", join(folder, `${label}-state`)],
    ],
    env: { PATH: `${programs}:/usr/sbin:/usr/bin:/sbin:/bin` },
    helper: (id) => `containerd-shim-runc-v2\0-namespace\0${namespace}\0-id\0${id}`,
    ctr: join(programs, "ctr"),
  };
}

/** A daemon that can be killed and restarted, with the CPU time of itself and its helpers. */
export class Daemon {
  readonly program: Program;
  readonly cpu: CpuAccount;
  #peer: Peer | undefined;

  constructor(program: Program) {
    this.program = program;
    this.cpu = new CpuAccount(`berth-bench-${program.name.replace(" ", "-")}`);
  }

  get pid(): number {
    return this.#peer!.pid;
  }

  /** Starts it; resolves when `ready` does, by default when its socket accepts connections. */
  async start(ready: () => Promise<boolean> = answers(this.program.socket)): Promise<void> {
    const { argv, env } = this.program;
    const inside = 'echo 0 > "$0" && exec "$@"';
    this.#peer = await start("/bin/sh", ["-c", inside, this.cpu.door, ...argv], ready, env, 1);
  }

  async kill(): Promise<void> {
    await this.#peer?.stop("SIGKILL");
    this.#peer = undefined;
  }

  /** Stops it and removes its account. */
  async stop(): Promise<void> {
    await this.#peer?.stop();
    this.#peer = undefined;
    this.cpu.remove();
  }
}
