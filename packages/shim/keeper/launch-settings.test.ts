import assert from "node:assert/strict";
import { test } from "node:test";
import type { SpawnOptions } from "@berth/sys";
import { ShimContext, type Task } from "./context.ts";
import { FakeHost } from "./fake-host.ts";
import { Folders } from "./folders.ts";
import { withSettings } from "./launch-settings.ts";

const LOGGER = "/usr/bin/logger";

/** What a logging program does with descriptor 5 when it starts. */
type Ready = "byte" | "close" | "silent";

function setup(ready: Ready = "close", code?: number) {
  const host = new FakeHost();
  const shim = new ShimContext(host, new Folders("/run/berth"), 0);
  const task: Task = {
    namespace: "ns",
    id: "c",
    bundle: "/b",
    foreignBundle: true,
    options: {},
    processes: new Map(),
  };
  host.onSpawn = ({ fds }: SpawnOptions, pid) => {
    if (code === undefined) host.running.add(pid);
    else host.exitCodes.set(pid, code);
    host.processes.set(pid, []);
    if (ready === "byte") host.write(fds[5]!, new Uint8Array([1]));
    // End of file: something to read, of no bytes.
    if (ready === "close") host.write(fds[5]!, new Uint8Array());
  };
  const record = (stdout: string) =>
    shim.newRecord("", { stdin: "", stdout, stderr: stdout, terminal: false });
  return { host, shim, task, record };
}

const open = (host: FakeHost) => [...host.fds.values()].map(({ path }) => path);

test("launch settings name the keeper's files, and /dev/null for berth-init", async () => {
  const { shim, task, record, host } = setup();
  task.options = { noNewKeyring: true, shimCgroup: "/s", ioOwner: { uid: 5, gid: 6 } };
  host.put("/sys/fs/cgroup/memory/s/cgroup.procs", "");
  const of = record("/out");
  const settings = await withSettings(shim, task, of, async (given) => given);
  const { streams, ...keeper } = settings.attachment.keeper;
  assert.deepEqual(keeper, {
    folder: "/run/berth/keepers",
    exitName: `${of.token}.exit`,
    socket: `/run/berth/keepers/${of.token}.sock`,
    cgroup: ["/sys/fs/cgroup/memory/s"],
  });
  assert.deepEqual(streams.owner, { uid: 5, gid: 6 });
  assert.deepEqual(streams.stdout, { kind: "fifo", path: "/out" });
  assert.deepEqual(settings.stdio, Array(3).fill(shim.devNull()));
  assert.deepEqual([settings.inherited, settings.preserved, settings.noNewKeyring], [[], [], true]);
  assert.equal(host.spawned.length, 0);
  shim.close();
  assert.deepEqual(open(host), []);
  const refused = (shimCgroup: string, code: string) => {
    task.options = { shimCgroup };
    return assert.rejects(
      withSettings(shim, task, of, async () => {}),
      { code, message: /^shim_cgroup: / },
    );
  };
  await refused("/none", "not_found");
  await refused("/../../etc", "invalid_argument");
});

test("a logging program is started first; the launch inherits its pipes", async () => {
  const { host, shim, task, record } = setup();
  let during: string[] = [];
  await withSettings(shim, task, record(`binary://${LOGGER}?k=v`), async ({ inherited }) => {
    const { path, argv, env, fds, setsid } = host.spawned[0]!;
    assert.deepEqual([path, argv, setsid], [LOGGER, [LOGGER, "k", "v"], true]);
    assert.deepEqual(env, ["CONTAINER_ID=c", "CONTAINER_NAMESPACE=ns"], "nothing of the daemon's");
    assert.equal(fds.length, 6);
    host.write(inherited[0]!, new TextEncoder().encode("out"));
    during = open(host).sort();
  });
  assert.deepEqual(during, ["/dev/null", "pipe", "pipe"]);
  assert.deepEqual(open(host), ["/dev/null"], "the pipes are closed after the launch");
});

test("the pipes are closed if the launch fails", async () => {
  const { host, shim, task, record } = setup();
  const launch = () => Promise.reject(new Error("no launch"));
  await assert.rejects(withSettings(shim, task, record(`binary://${LOGGER}`), launch), /no launch/);
  assert.deepEqual(open(host), ["/dev/null"]);
});

for (const [what, ready, code, scheme, message] of [
  ["is not ready in time", "silent", undefined, "binary", /was not ready within 10 s/],
  ["fails at once", "close", 3, "binary", /ended at once with exit code 3/],
  ["closes without a byte (v2)", "close", undefined, "binary-v2", /without saying that it is ready/],
] as const)
  test(`a logging program that ${what} is killed, and nothing is launched`, async () => {
    const { host, shim, task, record } = setup(ready, code);
    let launched = false;
    const launch = async () => {
      launched = true;
    };
    await assert.rejects(
      withSettings(shim, task, record(`${scheme}://${LOGGER}`), launch),
      (error: Error) => {
        assert.match(error.message, message);
        return true;
      },
    );
    assert.ok(!launched);
    const [[pid, signals]] = [...host.processes] as [[number, number[]]];
    assert.deepEqual(signals, [9], `pid ${pid}`);
    assert.deepEqual(open(host), ["/dev/null"]);
    host.running.clear();
  });

test("a logging program that reports ready (v2) is accepted", async () => {
  const { host, shim, task, record } = setup("byte");
  await withSettings(shim, task, record(`binary-v2://${LOGGER}`), async () => {});
  assert.deepEqual([...host.processes.values()], [[]]);
  host.running.clear();
});
