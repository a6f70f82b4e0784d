/**
 * Requests that race for one container, from several clients: the resulting state is one that some client asked for,
 * and nothing is left that no client can reach.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { type TestContext, test } from "node:test";
import type { BerthClient, Container } from "@berth/client";
import type { Spec } from "@berth/oci";
import { realSys } from "@berth/sys";
import { containerMaker } from "../crash/container-maker.ts";
import { Lane } from "../crash/lane.ts";
import { cannotRun } from "../support/daemons.ts";

const skip = cannotRun("/bin/busybox") ?? false;
realSys.becomeSubreaper();

async function lane(t: TestContext): Promise<Lane> {
  const made = await Lane.start(t, "races");
  // Creates the folders that come with the first container.
  await made.must("run", "--rm", made.image, "true");
  return made;
}

/** Asserts that tasks and records of the lane belong to the same containers. */
async function assertReachable(client: BerthClient, on: Lane): Promise<void> {
  const records = new Set((await client.containers.list()).map(({ id }) => id));
  // A runtime record exists for as long as anything runs.
  const orphans = (realSys.list(`${on.folder}/state/runc/${on.namespace}`) ?? []).filter(
    (id) => !id.startsWith(".") && !records.has(id),
  );
  assert.deepEqual(orphans, [], "tasks without a record");
}

test("a forced removal beside runs of the same name leaves no task behind", { skip }, async (t) => {
  const on = await lane(t);
  const rest = on.traces();
  let over = false;
  const remover = async () => {
    while (!over) await on.berth("rm", "-f", "raced");
  };
  const removers = [remover(), remover()];
  for (let n = 0; n < 25; n++) await on.berth("run", "-d", "--name", "raced", on.image, "sleep", "1000");
  over = true;
  await Promise.all(removers);
  await on.berth("rm", "-f", "raced");
  const client = on.client();
  t.after(() => client.close());
  await assertReachable(client, on);
  assert.deepEqual(await on.settle(rest), []);
});

test("a task without a record is killed when the daemon starts", { skip }, async (t) => {
  const on = await lane(t);
  await on.must("run", "-d", "--name", "kept", on.image, "sleep", "1000");
  const rest = on.traces();
  await on.must("run", "-d", "--name", "lost", on.image, "sleep", "1000");
  const { Id } = await on.inspect("lost");
  await on.down();
  const { DatabaseSync } = await import("node:sqlite");
  const db = new DatabaseSync(`${on.folder}/root/metadata.db`);
  db.exec(`DELETE FROM containers WHERE id = '${Id}'`);
  db.exec(`DELETE FROM snapshots WHERE name = '${Id}'`);
  db.close();
  await on.up();
  assert.deepEqual(await on.settle(rest), []);
});

/** One container seen by several clients. */
interface Raced {
  container: Container;
  client: BerthClient;
  spec: Spec;
}

const nothing = { stdin: "", stdout: "", stderr: "", terminal: false };

/** Requests for a container, each as some client makes it. */
const OPERATIONS: Readonly<Record<string, (raced: Raced) => Promise<unknown>>> = {
  create: ({ container }) => container.newTask(nothing),
  start: ({ container }) => container.start(),
  "start of a task": async ({ container }) => (await container.task())?.start(),
  exec: async ({ container, spec }) => {
    const task = await container.task();
    const added = await task?.exec(
      randomBytes(8).toString("hex"),
      { ...spec.process!, args: ["true"] },
      nothing,
    );
    await added?.start();
    await added?.wait();
    await added?.delete();
  },
  kill: async ({ container }) => (await container.task())?.kill(9),
  pause: async ({ container }) => {
    const task = await container.task();
    await task?.pause();
    await task?.resume();
  },
  stop: ({ container }) => container.stop({ seconds: 0 }),
  restart: ({ container }) => container.restart({ seconds: 0 }),
  "delete of a task": async ({ container }) => (await container.task())?.delete(),
  "delete of a record": ({ container }) => container.delete(),
  remove: ({ container }) => container.remove(),
  "forced removal": ({ container }) => container.remove({ force: true }),
};

/** A request that is too late, too early or redundant is refused with one of these. */
const REFUSALS = new Set(["not_found", "already_exists", "failed_precondition", "canceled"]);

test("every pair of requests for one container", { skip }, async (t) => {
  const on = await lane(t);
  const client = on.client();
  t.after(() => client.close());
  const makeContainer = await containerMaker(on, client);
  const rest = on.traces();
  let count = 0;

  /** A container in the given state. */
  const make = async (state: string): Promise<Raced> => {
    const id = `raced-${++count}`;
    const { container, spec } = await makeContainer(id, ["sleep", "1000"]);
    if (state !== "made") await container.start();
    if (state === "ended") await container.stop({ seconds: 0 });
    return { container, client, spec };
  };

  const names = Object.keys(OPERATIONS);
  const round = async (state: string, first: string, second: string) => {
    const raced = await make(state);
    const { id } = raced.container;
    const outcomes = await Promise.allSettled([OPERATIONS[first]!(raced), OPERATIONS[second]!(raced)]);
    const where = `${first} beside ${second} of a container that is ${state}`;
    for (const outcome of outcomes)
      if (outcome.status === "rejected")
        assert.ok(REFUSALS.has(outcome.reason.code), `${where}: ${outcome.reason.code}: ${outcome.reason}`);
    const there = (await client.containers.list([`id==${id}`])).length === 1;
    const succeeded = (name: string) =>
      outcomes.some((o, n) => o.status === "fulfilled" && [first, second][n] === name);
    const removed = ["remove", "forced removal", "delete of a record"].some(succeeded);
    assert.equal(there, !removed, `${where}: the record is ${there ? "there" : "gone"}`);
    const joins = first === "start" || (first === "create" && state === "made");
    if (first === second && joins)
      assert.deepEqual(
        outcomes.map((o) => o.status),
        ["fulfilled", "fulfilled"],
        where,
      );
    if (succeeded("forced removal")) assert.equal(await raced.container.task(), undefined, where);
    if (there) await raced.container.remove({ force: true });
    else await client.snapshots.remove(id).catch(() => {});
  };
  for (const state of ["made", "running", "ended"])
    for (const [n, first] of names.entries()) {
      // Many at a time: the machine's own scheduling produces the interleavings.
      await Promise.all(names.slice(n).map((second) => round(state, first, second)));
    }
  await assertReachable(client, on);
  assert.deepEqual(await on.settle(rest), []);
});
