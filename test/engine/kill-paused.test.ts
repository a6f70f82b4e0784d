/**
 * Signals to a paused container: SIGKILL kills it, others wait, and neither a pause nor a kill is lost when they
 * race.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { type TestContext, test } from "node:test";
import { realSys } from "@berth/sys";
import { Lane } from "../crash/lane.ts";
import { cannotRun } from "../support/daemons.ts";
import { until } from "../support/until.ts";

const skip = cannotRun("/bin/busybox") ?? false;
realSys.becomeSubreaper();

const lane = (t: TestContext) => Lane.start(t, "paused");

const POLITE = ["sh", "-c", 'trap "exit 7" TERM; echo up; sleep 1000 & wait'];

const ended = (on: Lane, name: string) =>
  until(`${name} has ended`, async () => {
    const { State } = await on.inspect(name);
    return State.Status === "exited" ? State.ExitCode : undefined;
  });

test("SIGKILL kills a paused container, other signals wait until it is resumed", { skip }, async (t) => {
  const on = await lane(t);
  await on.must("run", "-d", "--name", "cold", on.image, ...POLITE);
  for (let turn = 0; turn < 4; turn++) {
    await until("it is up", async () => /up$/.test(await on.must("logs", "cold")) || undefined);
    await on.must("pause", "cold");
    const asked = await on.berth("kill", "-s", "TERM", "cold");
    assert.equal(asked.code, 0);
    assert.match(asked.err, /cold is paused: the signal waits/);
    assert.equal((await on.inspect("cold")).State.Status, "paused");
    await on.must("kill", "cold");
    assert.equal(await ended(on, "cold"), 137);
    await on.must("start", "cold");
  }
  await until("it is up", async () => /up\n.*up$/s.test(await on.must("logs", "cold")) || undefined);
  await on.must("pause", "cold");
  await on.must("kill", "-s", "TERM", "cold");
  await on.must("unpause", "cold");
  assert.equal(await ended(on, "cold"), 7);
});

test("SIGKILL kills an exec'd process of a paused container", { skip }, async (t) => {
  const on = await lane(t);
  await on.must("run", "-d", "--name", "cold", on.image, ...POLITE);
  const client = on.client();
  t.after(() => client.close());
  const [container] = await client.containers.list();
  const task = (await container!.task())!;
  const nothing = { stdin: "", stdout: "", stderr: "", terminal: false };
  const process = { ...container!.spec().process!, args: ["sleep", "1000"] };
  const added = await task.exec(randomBytes(8).toString("hex"), process, nothing);
  await added.start();
  await task.pause();
  await added.kill(9);
  assert.equal((await added.wait()).code, 137);
  assert.equal((await task.state()).status, "running", "thawing is all or nothing");
});

test("a kill that races with a pause is never lost", { skip }, async (t) => {
  const on = await lane(t);
  const client = on.client();
  t.after(() => client.close());
  await on.must("create", "--name", "cold", on.image, ...POLITE);
  const [container] = await client.containers.list();
  for (let turn = 0; turn < 20; turn++) {
    await container!.start();
    const task = (await container!.task())!;
    const paused = task.pause().catch(() => {});
    const killed = task.kill(9);
    await Promise.all([paused, killed]);
    assert.equal((await task.wait()).code, 137);
  }
});

test("a kill of an exec'd process that races with a pause is never lost", { skip }, async (t) => {
  const on = await lane(t);
  await on.must("run", "-d", "--name", "cold", on.image, ...POLITE);
  const client = on.client();
  t.after(() => client.close());
  const [container] = await client.containers.list();
  const task = (await container!.task())!;
  const nothing = { stdin: "", stdout: "", stderr: "", terminal: false };
  const process = { ...container!.spec().process!, args: ["sleep", "1000"] };
  for (let turn = 0; turn < 30; turn++) {
    const added = await task.exec(randomBytes(8).toString("hex"), process, nothing);
    await added.start();
    const paused = task.pause();
    await Promise.all([paused, added.kill(9)]);
    assert.equal((await added.wait({ timeoutMs: 10_000 })).code, 137);
    await added.delete();
    if ((await task.state()).status === "paused") await task.resume();
  }
});
