/**
 * A container's lifecycle through the client library: created and run, without leftovers of failed or aborted
 * operations.
 */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { BerthClient } from "@berth/client";
import { parseVolume } from "@berth/oci";
import { realSys } from "@berth/sys";
import { Lane } from "../crash/lane.ts";
import { cannotRun } from "../support/daemons.ts";

const skip = cannotRun("/bin/busybox") ?? false;
realSys.becomeSubreaper();

/** A daemon, a client of it, and the initial state. */
async function lane(
  t: TestContext,
): Promise<{ on: Lane; client: BerthClient; settled: () => Promise<void> }> {
  const on = await Lane.start(t, "client");
  await on.must("run", "--rm", on.image, "true");
  const client = on.client();
  t.after(() => client.close());
  const before = on.traces();
  return { on, client, settled: async () => assert.deepEqual(await on.settle(before), []) };
}

const collect = (into: string[]) => (chunk: Uint8Array) => into.push(Buffer.from(chunk).toString());

test("run returns output and exit code, takes input, and removes its container", { skip }, async (t) => {
  const { on, client, settled } = await lane(t);
  const [out, err]: [string[], string[]] = [[], []];
  const { code, id } = await client.containers.run({
    image: on.image,
    args: ["sh", "-c", "cat; echo complaint >&2; exit 7"],
    stdin: (async function* () {
      yield Buffer.from("one ");
      yield Buffer.from("two");
    })(),
    onStdout: collect(out),
    onStderr: collect(err),
  });
  assert.deepEqual([code, out.join(""), err.join("")], [7, "one two", "complaint\n"]);
  await assert.rejects(client.containers.get(id), { code: "not_found" });
  await settled();
});

test("an aborted run is killed and removed", { skip }, async (t) => {
  const { on, client, settled } = await lane(t);
  const stop = new AbortController();
  const started = Promise.withResolvers<void>();
  const run = client.containers.run(
    { image: on.image, args: ["sh", "-c", "echo up; exec sleep 1000"], onStdout: () => started.resolve() },
    { signal: stop.signal },
  );
  await started.promise;
  stop.abort(new Error("enough"));
  await assert.rejects(run, /enough/);
  await settled();
});

test("a run whose output cannot be written ends, instead of waiting for a reader forever", {
  skip,
}, async (t) => {
  const { on, client, settled } = await lane(t);
  const run = client.containers.run({
    image: on.image,
    args: ["sh", "-c", "while true; do echo more; done"],
    onStdout: () => {
      throw new Error("the disk is full");
    },
  });
  await assert.rejects(run, /the disk is full/);
  await settled();
});

test("create takes the same options as run; start, stop and remove", { skip }, async (t) => {
  const { on, client, settled } = await lane(t);
  const container = await client.containers.create({
    image: on.image,
    name: "whole",
    args: ["sh", "-c", "id -u; cat /proc/self/limits | grep -c 'open files'; exec sleep 1000"],
    user: "root",
    env: ["A=1"],
    labels: { team: "x" },
    mounts: [parseVolume(`${on.folder}/made:/data`)],
    memory: 64 << 20,
    stopTimeout: 0,
  });
  assert.equal(container.name, "whole");
  assert.equal((await client.containers.find(container.id.slice(0, 12))).id, container.id);
  const spec = container.spec();
  assert.equal(spec.process?.user.uid, 0);
  assert.ok(spec.process?.env?.includes("A=1"));
  assert.equal(spec.linux?.resources?.memory?.limit, 64 << 20);
  assert.ok(spec.linux?.seccomp, "docker's profile is the default");
  assert.equal((await container.start()).wasRunning, false);
  assert.equal((await container.taskState())?.status, "running");
  assert.equal((await container.stop()).wasRunning, true);
  await container.remove();
  await assert.rejects(client.containers.find("whole"), { code: "not_found" });
  realSys.rmdir(`${on.folder}/made`);
  await settled();
});

test("invalid options are refused by name, and leave nothing", { skip }, async (t) => {
  const { on, client, settled } = await lane(t);
  const holder = await client.containers.create({ image: on.image, name: "taken", args: ["true"] });
  for (const [options, words] of [
    [{ name: "taken" }, /name "taken" is already taken by container/],
    [{ name: "-" }, /name: found "-", expected letters/],
    [{ user: "nobody-knows" }, /nobody-knows/],
    [{ restart: "sometimes" }, /restart: invalid restart policy "sometimes"/],
    [{ image: "docker.io/library/missing:1", pull: "never" as const }, /no such image/],
  ] as const)
    await assert.rejects(client.containers.create({ image: on.image, args: ["true"], ...options }), words);
  await holder.remove();
  await settled();
});

test("logs are entries, followed to the end of the task", { skip }, async (t) => {
  const { on, client, settled } = await lane(t);
  const container = await client.containers.create({
    image: on.image,
    args: ["sh", "-c", "echo one; echo two >&2; sleep 0.3; echo three"],
  });
  const reading = (async () => {
    const entries: string[] = [];
    // Begun before there is a log.
    for await (const { stream, text } of container.logs({ follow: true })) entries.push(`${stream} ${text}`);
    return entries;
  })();
  await container.start();
  assert.deepEqual((await reading).sort(), ["stderr two", "stdout one", "stdout three"]);
  const last = [];
  for await (const { text } of container.logs({ tail: 1 })) last.push(text);
  assert.deepEqual(last, ["three"]);
  await container.remove();
  await settled();
});
