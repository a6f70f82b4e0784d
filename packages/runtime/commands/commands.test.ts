import assert from "node:assert/strict";
import { test } from "node:test";
import { parseUser } from "./exec.ts";
import { checkArgs, describeFlags, parseFlags } from "./flags.ts";
import { table } from "./list.ts";
import { signalNumber } from "./signals.ts";

const flags = {
  bundle: { type: "string", short: "b", help: "a folder" },
  force: { type: "bool", short: "f", help: "do it" },
  env: { type: "list", short: "e", help: "a variable" },
  fds: { type: "number", help: "a number" },
} as const;

test("flags before and behind the id, in all their forms", () => {
  assert.deepEqual(
    parseFlags(flags, ["-b", "/x", "id", "--force", "--env=A=1", "-e", "B=2", "--fds=3"], false),
    {
      flags: { bundle: "/x", force: true, env: ["A=1", "B=2"], fds: 3 },
      rest: ["id"],
    },
  );
});

test("with order, another program's flags are its own", () => {
  assert.deepEqual(parseFlags(flags, ["-f", "id", "ls", "-b"], true), {
    flags: { force: true },
    rest: ["id", "ls", "-b"],
  });
  assert.deepEqual(parseFlags(flags, ["--", "-f"], false).rest, ["-f"]);
});

test("wrong flags are named", () => {
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

test("a user of exec is numbers only", () => {
  assert.deepEqual(parseUser("1000:50"), { uid: 1000, gid: 50 });
  assert.deepEqual(parseUser("0"), { uid: 0 });
  for (const wrong of ["root", "1:", ":1", "1:2:3", "4294967295", "-1", "1x"])
    assert.throws(() => parseUser(wrong), /UID or UID:GID/);
});

test("list's columns stand at least twelve apart", () => {
  assert.equal(
    table([
      ["ID", "PID"],
      ["a-very-long-name", "1"],
    ]),
    "ID                 PID\na-very-long-name   1\n",
  );
});
