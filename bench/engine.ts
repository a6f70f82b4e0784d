/** berthd beside Debian's containerd, by the same gRPC calls: container life, exec, `run --rm`, memory. */
import { spawnSync } from "node:child_process";
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { containers, images, snapshots, tasks } from "@berth/api";
import { connect } from "@berth/grpc";
import { defaultSpec } from "@berth/oci";
import { type Daemon, Folder, start, startContainerd } from "../test/engine-fixture.ts";
import { ROOT } from "../test/runtime-fixture.ts";
import { compare, head, row, runProgram } from "./measure.ts";

/** Rounds that a daemon gets before it is measured. */
const WARMUP = 30;
const IMAGE = "docker.io/berth/demo:latest";
const SPEC_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
const PROCESS_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Process";

/** A daemon, spoken to by the calls that containerd's Go client makes. */
class Engine {
  readonly name: string;
  readonly daemon: Daemon;
  readonly #connection;
  readonly #snapshots;
  readonly #containers;
  readonly #tasks;
  #parent = "";

  constructor(name: string, daemon: Daemon) {
    this.name = name;
    this.daemon = daemon;
    this.#connection = connect({ path: daemon.socket, headers: { "containerd-namespace": "default" } });
    this.#snapshots = this.#connection.client(snapshots.Snapshots);
    this.#containers = this.#connection.client(containers.Containers);
    this.#tasks = this.#connection.client(tasks.Tasks);
  }

  /** Loads the image and finds its snapshot. */
  async prepare(archive: string): Promise<void> {
    const imported = await this.daemon.ctr("images", "import", archive);
    if (imported.code !== 0) throw new Error(imported.stderr);
    for await (const { info } of this.#snapshots.list({ snapshotter: "overlayfs" }))
      for (const i of info) this.#parent = i.name;
    await this.#connection.client(images.Images).get({ name: IMAGE });
  }

  async create(id: string, args: string[]): Promise<void> {
    const spec = defaultSpec();
    spec.process!.terminal = false;
    spec.process!.args = args;
    spec.linux!.cgroupsPath = `/bench-${this.name}/${id}`;
    // A root of its own: between this and the container's record, containerd's collector may come by.
    const labels = { "containerd.io/gc.root": "bench" };
    await this.#snapshots.prepare({ snapshotter: "overlayfs", key: id, parent: this.#parent, labels });
    await this.#containers.create({
      container: {
        id,
        image: IMAGE,
        runtime: { name: "io.containerd.runc.v2" },
        snapshotter: "overlayfs",
        snapshotKey: id,
        spec: { typeUrl: SPEC_TYPE, value: new TextEncoder().encode(JSON.stringify(spec)) },
      },
    });
    const { mounts } = await this.#snapshots.mounts({ snapshotter: "overlayfs", key: id });
    await this.#tasks.create({ containerId: id, rootfs: mounts });
    await this.#tasks.start({ containerId: id });
  }

  async remove(id: string): Promise<void> {
    await this.#tasks.delete({ containerId: id });
    await this.#containers.delete({ id });
    await this.#snapshots.remove({ snapshotter: "overlayfs", key: id });
  }

  /** A container's whole life; milliseconds. */
  async life(id: string): Promise<number> {
    const begin = performance.now();
    await this.create(id, ["true"]);
    await this.#tasks.wait({ containerId: id });
    await this.remove(id);
    return performance.now() - begin;
  }

  async kill(id: string): Promise<void> {
    await this.#tasks.kill({ containerId: id, signal: 9 });
    await this.#tasks.wait({ containerId: id });
    await this.remove(id);
  }

  async exec(id: string, execId: string): Promise<number> {
    const process = { ...defaultSpec().process, terminal: false, args: ["true"] };
    const begin = performance.now();
    await this.#tasks.exec({
      containerId: id,
      execId,
      spec: { typeUrl: PROCESS_TYPE, value: new TextEncoder().encode(JSON.stringify(process)) },
    });
    await this.#tasks.start({ containerId: id, execId });
    await this.#tasks.wait({ containerId: id, execId });
    await this.#tasks.deleteProcess({ containerId: id, execId });
    return performance.now() - begin;
  }

  close(): void {
    this.#connection.close();
  }
}

/** Proportional set size in kB of all processes whose command line begins with one of the words. */
function memory(words: readonly string[]): { pss: number; processes: number } {
  let pss = 0;
  let processes = 0;
  for (const path of globSync("/proc/[0-9]*/cmdline")) {
    try {
      if (!words.some((w) => readFileSync(path, "utf8").includes(w))) continue;
      pss += Number(
        /^Pss: +(\d+)/m.exec(readFileSync(path.replace("cmdline", "smaps_rollup"), "utf8"))?.[1] ?? 0,
      );
      processes++;
    } catch {
      // It ended while we looked.
    }
  }
  return { pss, processes };
}

async function startBuiltBerthd(folder: string): Promise<Daemon> {
  const socket = join(folder, "run/berth.sock");
  const peer = await start(
    join(ROOT, "bin/berthd"),
    ["--root", join(folder, "root"), "--state", join(folder, "run")],
    () => spawnSync(join(ROOT, "bin/berth"), ["--address", socket, "version"]).status === 0,
  );
  return {
    ...peer,
    socket,
    ctr: async (...args) => {
      const { stdout, stderr, status } = spawnSync("/usr/bin/ctr", ["-a", socket, ...args], {
        encoding: "utf8",
      });
      return { stdout, stderr, code: status ?? 1 };
    },
  };
}

/** Measures and prints the tables. */
export async function benchEngine(): Promise<void> {
  const folder = new Folder();
  // Both daemons keep their state on a tmpfs, as /run is on most machines, and all else on disk.
  const state = mkdtempSync("/dev/shm/berth-bench-");
  for (const name of ["run", "cd-state"]) {
    mkdirSync(join(state, name));
    symlinkSync(join(state, name), join(folder.path, name));
  }
  const archive = join(folder.path, "image.tar");
  const daemons: Daemon[] = [];
  try {
    spawnSync(join(ROOT, "scripts/demo-image.sh"), [archive], { stdio: "inherit" });
    daemons.push(await startBuiltBerthd(folder.path), await startContainerd(folder.path));
    const engines = [new Engine("berthd", daemons[0]!), new Engine("containerd", daemons[1]!)];
    for (const engine of engines) await engine.prepare(archive);
    console.log(head(engines.map((e) => e.name)));
    console.log(
      row(
        "create, start, exit, delete, one at a time",
        "berthd",
        await compare(
          engines.map((e) => ({ name: e.name, once: (n) => e.life(`life-${n}`) })),
          40,
          WARMUP,
        ),
      ),
    );
    const eight = async (e: Engine, n: number) => {
      const begin = performance.now();
      await Promise.all(Array.from({ length: 8 }, (_, i) => e.life(`eight-${n}-${i}`)));
      return (performance.now() - begin) / 8;
    };
    console.log(
      row(
        "the same, 8 at a time, per container",
        "berthd",
        await compare(
          engines.map((e) => ({ name: e.name, once: (n) => eight(e, n) })),
          10,
        ),
      ),
    );
    for (const e of engines) await e.create("long", ["sleep", "1000"]);
    console.log(
      row(
        "exec of `true`",
        "berthd",
        await compare(
          engines.map((e) => ({ name: e.name, once: (n) => e.exec("long", `e${n}`) })),
          30,
        ),
      ),
    );
    for (const e of engines) await e.kill("long");
    const berth = async (n: number) =>
      (
        await runProgram([
          join(ROOT, "bin/berth"),
          "--address",
          daemons[0]!.socket,
          "run",
          "--rm",
          "--network",
          "host",
          "--name",
          `cli-${n}`,
          "berth/demo",
          "true",
        ])
      ).ms;
    const ctr = async (socket: string, n: number) =>
      (
        await runProgram([
          "/usr/bin/ctr",
          "-a",
          socket,
          "run",
          "--rm",
          "--net-host",
          IMAGE,
          `ctr-${n}`,
          "true",
        ])
      ).ms;
    const terminal = await compare(
      [
        { name: "berthd", once: berth },
        { name: "containerd", once: (n) => ctr(daemons[1]!.socket, n) },
      ],
      20,
    );
    console.log(row("`run --rm`, host network: berth / ctr", "berthd", terminal));
    const same = await compare(
      [
        { name: "berthd", once: (n) => ctr(daemons[0]!.socket, n) },
        { name: "containerd", once: (n) => ctr(daemons[1]!.socket, n + 100) },
      ],
      20,
    );
    console.log(row("`ctr run --rm --net-host` on both", "berthd", same));
    console.log(
      `\n| memory beyond the daemon, kB PSS per container | ${engines.map((e) => e.name).join(" | ")} |\n|---|---|---|`,
    );
    const words = [["berth-init\0mem-"], ["containerd-shim-runc-v2"]];
    const made = [0, 0];
    for (const count of [1, 10, 100]) {
      const cells: string[] = [];
      for (const [i, e] of engines.entries()) {
        for (; made[i]! < count; made[i]!++) await e.create(`mem-${made[i]}`, ["sleep", "1000"]);
        const { pss, processes } = memory(words[i]!);
        cells.push(`${(pss / count).toFixed(0)} (${processes} processes)`);
      }
      console.log(`| at ${count} | ${cells.join(" | ")} |`);
    }
    for (const [i, e] of engines.entries()) for (let n = 0; n < made[i]!; n++) await e.kill(`mem-${n}`);
    for (const e of engines) e.close();
  } finally {
    for (const daemon of daemons) await daemon.stop();
    await folder.remove();
    rmSync(state, { recursive: true, force: true });
  }
}
