import assert from "node:assert/strict";
import { test } from "node:test";
import { bool, describeFlags, list, parseFlags, text, UsageError, wholeNumber } from "./flags.ts";

const TABLE = {
  interactive: bool("i", "i"),
  tty: bool("t", "t"),
  env: list("E", "e", "e"),
  name: text("N", "n"),
  readOnly: bool("r"),
} as const;

test("docker's flag syntax", () => {
  const cases: [string[], object, string[]][] = [
    [["-it", "x"], { interactive: true, tty: true }, ["x"]],
    [
      ["-ite", "A=1", "--env=B=2", "-eC=3", "-e=D", "x"],
      { interactive: true, env: ["A=1", "B=2", "C=3", "D"] },
      ["x"],
    ],
    [["--name", "a", "--name=b", "x"], { name: "b" }, ["x"]],
    [["--read-only=false", "-t=true", "x"], { readOnly: false, tty: true }, ["x"]],
    [["x", "--name", "n"], { name: undefined }, ["x", "--name", "n"]],
    [["--", "-t"], { tty: false }, ["-t"]],
  ];
  for (const [argv, wanted, rest] of cases) {
    const { flags, args } = parseFlags(TABLE, argv, true);
    assert.deepEqual({ ...flags, ...wanted }, flags, argv.join(" "));
    assert.deepEqual(args, rest);
  }
  const mixed = parseFlags(TABLE, ["x", "-t", "y"]);
  assert.deepEqual([mixed.flags.tty, mixed.args], [true, ["x", "y"]]);
});

test("mistakes are reported by name", () => {
  const cases: [string[], RegExp][] = [
    [["--nope"], /unknown flag: --nope/],
    [["-tz"], /unknown shorthand flag: 'z' in -tz/],
    [["--name"], /flag needs a value: --name/],
    [["-e"], /flag needs a value: -e/],
    [["--tty=maybe"], /expected true or false/],
  ];
  for (const [argv, message] of cases)
    assert.throws(
      () => parseFlags(TABLE, argv),
      (error) => error instanceof UsageError && message.test(error.message),
    );
  assert.throws(() => wholeNumber("--n", "x"), /--n: found "x", expected a whole number/);
});

test("the help text has a line for each flag", () => {
  const lines = describeFlags(TABLE);
  assert.equal(lines.length, 5);
  assert.match(lines[4]!, /--read-only/);
});

test("a typing mistake in a flag suggests the nearest one", () => {
  const table = { detach: bool("x", "d"), detachKeys: text("KEYS", "x") };
  assert.throws(
    () => parseFlags(table, ["--detahc"]),
    /^BerthError: unknown flag: --detahc; did you mean "--detach"\?$/,
  );
  assert.throws(
    () => parseFlags(table, ["--detachkeys=x"]),
    /unknown flag: --detachkeys; did you mean "--detach-keys"\?$/,
  );
  assert.throws(() => parseFlags(table, ["--hlep"]), /did you mean "--help"/);
  assert.throws(() => parseFlags(table, ["--quite"]), /unknown flag: --quite$/);
});
