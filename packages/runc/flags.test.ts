import assert from "node:assert/strict";
import { test } from "node:test";
import { signalNumber } from "@berth/base";
import { checkArgs, describeFlags, parseFlags } from "./flags.ts";
import { logLine } from "./log-lines.ts";
import { durationOf, parseBytes, parseWhole } from "./sizes.ts";
import { parseUser } from "./verbs/exec.ts";
import { table } from "./verbs/list.ts";
import { resourcesOf } from "./verbs/update.ts";

const flags = {
  bundle: { type: "string", short: "b", help: "a folder" },
  force: { type: "bool", short: "f", help: "do it" },
  env: { type: "list", short: "e", help: "a variable" },
  fds: { type: "number", help: "a number" },
} as const;

test("flags before and after the id, in all their forms", () => {
  assert.deepEqual(
    parseFlags(flags, ["-b", "/x", "id", "--force", "--env=A=1", "-e", "B=2", "--fds=3"], false),
    {
      flags: { bundle: "/x", force: true, env: ["A=1", "B=2"], fds: 3 },
      rest: ["id"],
    },
  );
});

test("ordered flags end where another program's begin", () => {
  assert.deepEqual(parseFlags(flags, ["-f", "id", "ls", "-b"], true), {
    flags: { force: true },
    rest: ["id", "ls", "-b"],
  });
  assert.deepEqual(parseFlags(flags, ["--", "-f"], false).rest, ["-f"]);
});

test("invalid flags are reported by name", () => {
  assert.throws(() => parseFlags(flags, ["--nope"], false), /flag provided but not defined: --nope/);
  assert.throws(() => parseFlags(flags, ["--bundle"], false), /flag needs an argument: --bundle/);
  assert.throws(() => parseFlags(flags, ["--fds", "x"], false), /--fds: found "x", expected a whole number/);
  assert.throws(() => parseFlags(flags, ["--force=maybe"], false), /expected true or false/);
  assert.throws(() => checkArgs("kill", [], 1, 2), /requires a minimum of 1 argument/);
  assert.throws(() => checkArgs("state", ["a", "b"], 1, 1), /requires exactly 1 argument/);
  assert.match(describeFlags(flags), /--bundle, -b value/);
});

test("signals by name and number", () => {
  assert.deepEqual(
    ["KILL", "SIGTERM", "9", "sigusr1", "RTMIN+1", "RTMAX", "0"].map(signalNumber),
    [9, 15, 9, 10, 35, 64, 0],
  );
  for (const wrong of ["", "NOPE", "65", "-1", "RTMIN+99"])
    assert.throws(() => signalNumber(wrong), /unknown signal/);
});

test("exec's user must be numeric", () => {
  assert.deepEqual(parseUser("1000:50"), { uid: 1000, gid: 50 });
  assert.deepEqual(parseUser("0"), { uid: 0 });
  for (const wrong of ["root", "1:", ":1", "1:2:3", "4294967295", "-1", "1x"])
    assert.throws(() => parseUser(wrong), /UID or UID:GID/);
});

test("list's columns are at least twelve wide", () => {
  assert.equal(
    table([
      ["ID", "PID"],
      ["a-very-long-name", "1"],
    ]),
    "ID                 PID\na-very-long-name   1\n",
  );
});

test("sizes, whole numbers and durations", () => {
  assert.deepEqual(
    ["-1", "7", "50M", "1.5k", "2GiB", "1 mb"].map((text) => parseBytes("memory", text)),
    [-1n, 7n, 52428800n, 1536n, 2147483648n, 1048576n],
  );
  assert.throws(() => parseBytes("memory", "lots"), /invalid value for memory: invalid size: 'lots'/);
  assert.throws(() => parseWhole("cpu-share", "-5", false), /invalid value for cpu-share/);
  assert.deepEqual(
    ["5s", "100ms", "1m30s", "1.5h"].map((text) => durationOf("interval", text)),
    [5000, 100, 90_000, 5_400_000],
  );
  for (const wrong of ["5", "s", "", "5 s"]) assert.throws(() => durationOf("interval", wrong), /--interval/);
});

test("update's flags become linux.resources", () => {
  assert.deepEqual(
    resourcesOf({ memory: "1k", "cpu-quota": "-1", "cpuset-cpus": "0", "pids-limit": 0, "memory-swap": "" }),
    { memory: { limit: 1024n }, cpu: { quota: -1, cpus: "0" }, pids: { limit: 0 } },
  );
  assert.throws(() => resourcesOf({ "cpu-idle": "2" }), /cpu\.idle: found 2, expected 0 or 1/);
});

test("log lines as logrus writes them", () => {
  assert.match(
    logLine("text", "warn", 'a "b"', { hint: "do it" }),
    /^time="[\d-]+T[\d:]+Z" level=warning msg="a \\"b\\"" hint="do it"$/,
  );
  assert.match(logLine("text", "info", "word"), /msg=word$/);
  assert.equal(JSON.parse(logLine("json", "error", "x")).level, "error");
});
