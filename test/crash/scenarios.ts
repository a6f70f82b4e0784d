/** Requests during which a daemon is killed: their preconditions, and what must hold afterwards. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Mounts } from "@berth/api/mounts";
import type { Client } from "@berth/rpc";
import { ociArchive, sha256 } from "../support/images.ts";
import { until } from "../support/until.ts";
import { type Lane, type Ran, testImage } from "./lane.ts";

/** One request; `act` is run, interrupted, and retried. */
export interface Scenario {
  /** Once, before the first step. */
  prepare?(lane: Lane): Promise<void>;
  /** Before each kill. */
  setup(lane: Lane): Promise<void>;
  act(lane: Lane): Promise<Ran>;
  /** On the new daemon, before any other request. */
  survived?(lane: Lane): Promise<void>;
  /** Matches a retry's refusal that is correct: the interrupted request had completed. */
  done?: RegExp;
  /** After the retry. */
  check(lane: Lane): Promise<void>;
  /** Restores the state before `setup`. */
  cleanup(lane: Lane): Promise<void>;
  /** Once, at the end. */
  finish?(): void;
}

/** Exits with 7 on SIGTERM. */
const POLITE = 'trap "exit 7" TERM; echo up; sleep 1000 & wait';
const NAME = "cut";
const OK: Ran = { code: 0, out: "", err: "" };

const remove = async (lane: Lane) => {
  const { code, err } = await lane.berth("rm", "-f", NAME);
  // One scenario has removed it.
  if (code !== 0) assert.match(err, /no such container/);
};
const running = async (lane: Lane, name = NAME) =>
  until(`${name} runs`, async () => {
    const { State } = await lane.inspect(name);
    return State.Status === "running" ? State.Pid : undefined;
  });
const logged = async (lane: Lane, wanted: RegExp) =>
  until(`the log is ${wanted}`, async () => (wanted.test(await lane.must("logs", NAME)) ? true : undefined));

const make = ["--name", NAME];

const create: Scenario = {
  setup: async () => {},
  act: (lane) => lane.berth("create", ...make, lane.image, "sh", "-c", "id -u; exit 4"),
  done: /already taken/,
  check: async (lane) => {
    await lane.must("start", NAME);
    assert.equal(await lane.must("wait", NAME), "4");
    // The image's user, whichever of the two created it.
    assert.equal(await lane.must("logs", NAME), "1000");
  },
  cleanup: remove,
};

const run: Scenario = {
  setup: async () => {},
  act: (lane) => lane.berth("run", "-d", ...make, lane.image, "sh", "-c", POLITE),
  done: /already taken/,
  check: async (lane) => {
    // Created, but not started: that is left to do.
    await lane.must("start", NAME);
    await running(lane);
    await logged(lane, /^up$/);
  },
  cleanup: remove,
};

const start: Scenario = {
  setup: async (lane) => void (await lane.must("create", ...make, lane.image, "sh", "-c", POLITE)),
  act: (lane) => lane.berth("start", NAME),
  check: async (lane) => {
    await running(lane);
    await logged(lane, /^up$/);
  },
  cleanup: remove,
};

const up = async (lane: Lane, ...flags: string[]) => {
  await lane.must("run", "-d", ...flags, ...make, lane.image, "sh", "-c", POLITE);
  await logged(lane, /^up$/);
};

const exec: Scenario = {
  setup: (lane) => up(lane),
  act: async (lane) => {
    const ran = await lane.berth("exec", NAME, "sh", "-c", "echo added; exit 3");
    return ran.code === 3 && ran.out === "added\n" ? OK : { ...ran, code: 1 };
  },
  survived: async (lane) => void (await running(lane)),
  check: async (lane) => {
    const { code, out } = await lane.berth("exec", NAME, "sh", "-c", "echo again; exit 5");
    assert.deepEqual({ code, out }, { code: 5, out: "again\n" });
  },
  cleanup: remove,
};

const restart: Scenario = {
  setup: (lane) => up(lane),
  act: (lane) => lane.berth("restart", "-t", "5", NAME),
  survived: async (lane) => void (await lane.inspect(NAME)),
  check: async (lane) => {
    await running(lane);
    await logged(lane, /^up(\nup)+$/);
  },
  cleanup: remove,
};

const stop: Scenario = {
  setup: (lane) => up(lane),
  act: (lane) => lane.berth("stop", "-t", "5", NAME),
  survived: async (lane) => void (await lane.inspect(NAME)),
  check: async (lane) => {
    const { State } = await lane.inspect(NAME);
    assert.deepEqual([State.Status, State.ExitCode], ["exited", 7]);
    await logged(lane, /^up$/);
  },
  cleanup: remove,
};

const remover: Scenario = {
  setup: (lane) => up(lane),
  act: (lane) => lane.berth("rm", "-f", NAME),
  done: /no such container/,
  check: async (lane) => assert.equal(await lane.must("ps", "-aq", "-f", `name=^${NAME}$`), ""),
  cleanup: remove,
};

/** The monitor acts by itself: there is no request. */
let before = 0;
const monitor: Scenario = {
  setup: async (lane) => {
    await up(lane, "--restart", "always");
    before = await running(lane);
  },
  act: async (lane) => {
    try {
      process.kill(before, "SIGKILL");
    } catch {
      // The second time it no longer exists.
    }
    for (let tries = 0; tries < 100 && lane.alive; tries++) {
      const { code, out } = await lane.berth("inspect", "-f", "{{.State.Status}} {{.State.Pid}}", NAME);
      if (code === 0 && /^running/.test(out) && !out.includes(` ${before}\n`)) break;
    }
    return OK;
  },
  check: async (lane) => {
    assert.notEqual(await running(lane), before);
    await logged(lane, /^up\nup(\nup)?$/);
  },
  cleanup: remove,
};

let registry: Server | undefined;
let host = "";
const serve = async () => {
  const image = testImage("pulled");
  const blobs = new Map(
    [image.manifest, image.config, ...image.layers.map((l) => l.bytes)].map((b) => [sha256(b), b]),
  );
  registry = createServer((request, response) => {
    const name = request.url!.split("/").at(-1)!;
    const body = name === "1" ? image.manifest : blobs.get(name);
    if (request.url === "/v2/" || body === undefined)
      return void response.writeHead(body ? 200 : request.url === "/v2/" ? 200 : 404).end();
    const manifest = request.url!.includes("/manifests/");
    response.writeHead(200, {
      "Content-Length": body.length,
      "Content-Type": manifest ? "application/vnd.oci.image.manifest.v1+json" : "application/octet-stream",
      "Docker-Content-Digest": sha256(body),
    });
    response.end(request.method === "HEAD" ? undefined : body);
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => registry!.once("listening", resolve));
  host = `127.0.0.1:${(registry!.address() as AddressInfo).port}`;
};
const works = async (lane: Lane, image: string) => {
  const { code, out } = await lane.berth("run", "--rm", image, "id", "-u");
  assert.deepEqual({ code, out }, { code: 0, out: "1000\n" });
};

const pull: Scenario = {
  prepare: serve,
  setup: async () => {},
  act: (lane) => lane.berth("pull", "-q", `${host}/crash:1`),
  check: (lane) => works(lane, `${host}/crash:1`),
  cleanup: async (lane) => void (await lane.berth("rmi", `${host}/crash:1`)),
  finish: () => registry?.close(),
};

const LOADED = "docker.io/library/loaded:1";
const load: Scenario = {
  prepare: async (lane) =>
    writeFileSync(`${lane.folder}/loaded.tar`, ociArchive(testImage("loaded"), LOADED)),
  setup: async () => {},
  act: (lane) => lane.berth("load", "-q", "-i", `${lane.folder}/loaded.tar`),
  check: (lane) => works(lane, LOADED),
  cleanup: async (lane) => void (await lane.berth("rmi", LOADED)),
};

/** An image that was only fetched, and is unpacked later. */
const unpack: Scenario = {
  ...pull,
  setup: async (lane) => {
    const client = lane.client();
    await client.images.pull(`${host}/crash:1`, { plainHttp: true, snapshotter: "" });
    client.close();
  },
  act: async (lane) => {
    const client = lane.client();
    try {
      await client.images.unpack(`${host}/crash:1`);
      return OK;
    } catch (error) {
      return { code: 1, out: "", err: String(error) };
    } finally {
      client.close();
    }
  },
};

/** A request of the Mounts service. */
async function ofMounts(lane: Lane, work: (mounts: Client<typeof Mounts>) => Promise<unknown>): Promise<Ran> {
  const client = lane.client();
  try {
    await work(client.connection.client(Mounts));
    return OK;
  } catch (error) {
    return { code: 1, out: "", err: String(error) };
  } finally {
    client.close();
  }
}

const loopsOf = (lane: Lane) =>
  readdirSync("/sys/block").filter((name) => {
    const file = `/sys/block/${name}/loop/backing_file`;
    return existsSync(file) && readFileSync(file, "utf8").startsWith(lane.folder);
  });

/** A loop device, a file system on it, and a folder of that. */
const activate: Scenario = {
  prepare: async (lane) => {
    mkdirSync(`${lane.folder}/tree`);
    writeFileSync(`${lane.folder}/tree/file`, "here");
    const image = `${lane.folder}/disk.img`;
    execFileSync("/usr/sbin/mkfs.ext4", ["-q", "-d", `${lane.folder}/tree`, image, "4M"]);
  },
  setup: async () => {},
  act: (lane) =>
    ofMounts(lane, (mounts) => {
      const mount = (type: string, source: string) => ({ type, source, target: "", options: ["ro"] });
      const three = [
        mount("loop", `${lane.folder}/disk.img`),
        mount("format/ext4", "{{ mount 0 }}"),
        mount("format/bind", "{{ mount 1 }}"),
      ];
      const labels = { "containerd.io/gc.bref.image": lane.image };
      return mounts.activate({ name: NAME, mounts: three, labels, temporary: true });
    }),
  done: /already exists/,
  check: async (lane) => {
    const client = lane.client();
    const { info } = await client.connection.client(Mounts).info({ name: NAME });
    client.close();
    for (const { mountPoint } of info!.active.slice(1))
      assert.equal(readFileSync(`${mountPoint}/file`, "utf8"), "here");
    // The kernel detaches a device after it was unmounted.
    await until("one loop device is left", () => loopsOf(lane).length === 1);
  },
  cleanup: async (lane) => {
    const { err } = await ofMounts(lane, (mounts) => mounts.deactivate({ name: NAME }));
    // One scenario has undone it.
    if (err !== "") assert.match(err, /not found/);
    await until("no loop device is left", () => loopsOf(lane).length === 0);
  },
};

const deactivate: Scenario = {
  ...activate,
  setup: async (lane) => assert.equal((await activate.act(lane)).err, ""),
  act: (lane) => ofMounts(lane, (mounts) => mounts.deactivate({ name: NAME })),
  done: /not found/,
  check: async (lane) =>
    assert.equal((await ofMounts(lane, (mounts) => mounts.info({ name: NAME }))).code, 1),
};

/** By name. */
export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  create,
  run,
  start,
  exec,
  restart,
  monitor,
  stop,
  delete: remover,
  pull,
  load,
  unpack,
  activate,
  deactivate,
};
