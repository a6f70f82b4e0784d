/** Numbered events: across a kill of the daemon, from the past, and in docker's format. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BerthClient } from "@berth/client";
import { startCli } from "../support/cli.ts";
import { cannotRun } from "../support/daemons.ts";

interface Line {
  Sequence: number;
  Topic: string;
  Type: string;
  Action: string;
  ID: string;
}

test("berth events", { skip: cannotRun("/bin/busybox") ?? false }, async (t) => {
  const cli = await startCli();
  t.after(async () => assert.deepEqual(await cli.close(), []));
  const events = async (...args: string[]): Promise<Line[]> => {
    // A moment that has just passed ends the stream.
    const until = args.includes("--until") ? [] : ["--until", "0s"];
    const { out, err, code } = await cli.berth(["events", "--format", "json", ...until, ...args]);
    assert.equal(code, 0, err);
    return out
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  };
  assert.equal((await cli.berth(["run", "--name", "one", "-l", "a=b", "busybox", "true"])).code, 0);

  await t.test("past events are replayed, numbered without a gap", async () => {
    const all = await events();
    assert.deepEqual(
      all.map(({ Sequence }) => Sequence),
      all.map((_, i) => i + 1),
    );
    const actions = all.filter(({ Type }) => Type === "container").map(({ Action }) => Action);
    assert.deepEqual(
      actions.filter((action) => action !== "update"),
      ["create", "prepare", "start", "die"],
    );
    const half = all[Math.floor(all.length / 2)]!.Sequence;
    assert.deepEqual(await events("--after", String(half)), all.slice(half));
  });

  await t.test("docker's filters, and containerd's", async () => {
    assert.equal((await cli.berth(["run", "--name", "two", "busybox", "false"])).code, 1);
    const ids = async (...filters: string[]) =>
      new Set((await events(...filters.flatMap((filter) => ["--filter", filter]))).map(({ ID }) => ID));
    const one = await ids("container=one");
    assert.equal(one.size, 1);
    assert.deepEqual(await ids("label=a=b"), one);
    assert.equal((await ids("event=die")).size, 2);
    assert.equal((await ids("event=die", "container=two")).size, 1);
    assert.equal((await ids('topic=="/tasks/exit"')).size, 2);
    assert.equal((await ids("event=oom")).size, 0);
    const wrong = await cli.berth(["events", "--filter", "colour=red"]);
    assert.equal(wrong.code, 125);
    assert.match(wrong.err, /colour=red.*type, event, container/);
  });

  await t.test("after a kill of the daemon, numbering continues and no event is missing", async () => {
    const before = await events();
    await cli.crash();
    assert.equal((await cli.berth(["run", "--rm", "busybox", "true"])).code, 0);
    const after = await events();
    assert.deepEqual(after.slice(0, before.length), before);
    assert.deepEqual(
      after.map(({ Sequence }) => Sequence),
      after.map((_, i) => i + 1),
    );
    const last = before.at(-1)!.Sequence;
    assert.deepEqual(await events("--after", String(last)), after.slice(last));
    const beyond = await cli.berth(["events", "--after", "1000000"]);
    assert.equal(beyond.code, 1);
    assert.match(beyond.err, /newest event has number/);
  });

  await t.test("a disconnected client resumes where it was", async () => {
    const seen: number[] = [];
    let client = new BerthClient({ address: cli.address });
    const first = client.events.follow({ after: 0 });
    for (let i = 0; i < 3; i++) seen.push((await first.next()).value!.sequence);
    await cli.crash();
    await assert.rejects(async () => {
      for await (const { sequence } of first) seen.push(sequence);
    });
    client.close();
    assert.equal((await cli.berth(["rm", "two"])).code, 0);
    client = new BerthClient({ address: cli.address });
    for await (const { sequence, topic } of client.events.follow({ after: seen.at(-1)! })) {
      seen.push(sequence);
      if (topic === "/containers/delete" && sequence > 20) break;
    }
    client.close();
    assert.deepEqual(
      seen,
      seen.map((_, i) => i + 1),
    );
  });
});
