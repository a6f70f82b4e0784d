/** Logs at their limit: rotated by the keeper, with or without a daemon, and read as one. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { realSys } from "@berth/sys";
import { Lane } from "../crash/lane.ts";
import { cannotRun } from "../support/daemons.ts";
import { until } from "../support/until.ts";

const skip = cannotRun("/bin/busybox", "/usr/bin/containerd-shim-runc-v2", "/usr/sbin/runc") ?? false;
realSys.becomeSubreaper();

const lane = (t: TestContext) => Lane.start(t, "logs");

/** Counts from 1 to `to`, a line of some 100 bytes in the log each, and exits. */
const counting = (to: number) =>
  `i=0; while [ $i -lt ${to} ]; do i=$((i+1)); echo "$i ................................................"; done`;

const numbers = (text: string) =>
  text
    .trim()
    .split("\n")
    .map((line) => Number(line.split(" ")[0]));

/** The files of a container's log, with their sizes. */
async function files(on: Lane, name: string): Promise<Map<string, number>> {
  const { Id } = await on.inspect(name);
  const folder = join(on.folder, "root/logs", on.namespace, Id);
  return new Map(readdirSync(folder).map((file) => [file, statSync(join(folder, file)).size]));
}

const ended = (on: Lane, name: string) =>
  until(`${name} has ended`, async () => (await on.inspect(name)).State.Status === "exited" || undefined);

const LIMIT = ["--log-opt", "max-size=16k", "--log-opt", "max-file=3"];

for (const runtime of [[], ["--runtime", "io.containerd.runc.v2"]])
  test(`a log is rotated at its limit, and the kept files are complete and in order ${runtime.join(" ")}`, {
    skip,
  }, async (t) => {
    const on = await lane(t);
    await on.must("run", "-d", ...runtime, "--name", "many", ...LIMIT, on.image, "sh", "-c", counting(1500));
    await ended(on, "many");
    const found = await until("the log is written", async () => {
      const seen = await on.must("logs", "--tail", "1", "many");
      return numbers(seen)[0] === 1500 ? await files(on, "many") : undefined;
    });
    assert.deepEqual([...found.keys()].sort(), ["container.log", "container.log.1", "container.log.2"]);
    for (const size of found.values()) assert.ok(size < (16 << 10) + 100_000, `a file of ${size} bytes`);
    const seen = numbers(await on.must("logs", "many"));
    assert.equal(seen.at(-1), 1500);
    for (const [n, number] of seen.entries())
      assert.equal(number, seen[0]! + n, "no line is missing or doubled");
    assert.deepEqual(numbers(await on.must("logs", "--tail", "400", "many")), seen.slice(-400));
    const { Id } = await on.inspect("many");
    await on.must("rm", "many");
    assert.equal(existsSync(join(on.folder, "root/logs", on.namespace, Id)), false);
  });

test("a reader follows across rotations, also while the daemon is down", { skip }, async (t) => {
  const on = await lane(t);
  const slowly = `${counting(1500).replace("done", "[ $((i % 50)) = 0 ] && sleep 0.05; done")}; sleep 1000`;
  await on.must(
    "run",
    "-d",
    "--name",
    "slow",
    "--log-opt",
    "max-size=16k",
    "--log-opt",
    "max-file=9",
    on.image,
    "sh",
    "-c",
    slowly,
  );
  const reader = spawn(join(on.bin, "berth"), ["-n", on.namespace, "logs", "-f", "slow"], {
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...process.env, BERTH_ADDRESS: `unix://${on.socket}` },
  });
  t.after(() => reader.kill("SIGKILL"));
  let text = "";
  reader.stdout.on("data", (chunk) => {
    text += chunk;
  });
  await until("it has begun", () => text.includes("\n") || undefined);
  await on.down();
  await until("all was read", () => /^1500 /m.test(text) || undefined);
  assert.deepEqual(
    numbers(text),
    Array.from({ length: 1500 }, (_, n) => n + 1),
  );
  await on.up();
  assert.ok((await files(on, "slow")).size > 3);
  // A daemon that restarts it keeps the limits.
  await on.must("restart", "-t", "0", "slow");
  const text2 = await until("the new one has written", async () => {
    const seen = await on.must("logs", "slow");
    return (seen.match(/^1500 /gm) ?? []).length === 2 ? seen : undefined;
  });
  assert.ok(text2.length > 0);
  assert.ok((await files(on, "slow")).size <= 9);
});

test("the daemon's settings apply to containers without their own; --log-opt is checked", {
  skip,
}, async (t) => {
  const on = await lane(t);
  for (const [option, why] of [
    ["max-size=1k", /max-size: expected at least 4096 bytes/],
    ["max-size=much", /--log-opt max-size/],
    ["max-file=0", /max-file/],
    ["max-file=5000", /at most 1000/],
    ["compress=true", /--log-opt: found "compress", expected max-size or max-file/],
  ] as const) {
    const { code, err } = await on.berth("create", "--log-opt", option, on.image, "true");
    assert.equal(code, 125, option);
    assert.match(err, why);
  }
  await on.down();
  const config = join(on.folder, "config.toml");
  writeFileSync(config, "[logs]\nmax_size = 16384\nmax_files = 2\n");
  await on.up(["--config", config]);
  await on.must("run", "-d", "--name", "default", on.image, "sh", "-c", counting(1500));
  await on.must(
    "run",
    "-d",
    "--name",
    "endless",
    "--log-opt",
    "max-size=-1",
    on.image,
    "sh",
    "-c",
    counting(1500),
  );
  for (const name of ["default", "endless"]) await ended(on, name);
  assert.deepEqual([...(await files(on, "default")).keys()].sort(), ["container.log", "container.log.1"]);
  assert.deepEqual([...(await files(on, "endless")).keys()], ["container.log"]);
});
