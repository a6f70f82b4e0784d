import assert from "node:assert/strict";
import { test } from "node:test";
import { BerthError } from "@berth/base";
import type { Container, ProcessState } from "@berth/client";
import { rowOf } from "../commands/ps.ts";
import { startExitCode } from "../errors.ts";
import { parseFlags } from "../flags.ts";
import {
  CREATE_FLAGS,
  checkCreateFlags,
  cpusOf,
  environmentOf,
  labelsOf,
  memoryOf,
  rlimitsOf,
} from "./create-flags.ts";
import { containerFilter } from "./filters.ts";
import { seenOf, statusText } from "./state.ts";

const made = new Date("2026-01-01T00:00:00Z");
function container(id: string, labels: Record<string, string> = {}): Container {
  return {
    id,
    name: `name-${id}`,
    labels: { "berth/name": `name-${id}`, ...labels },
    image: "docker.io/library/alpine:3",
    createdAt: made,
    spec: () => ({
      ociVersion: "1.2.0",
      process: { args: ["sleep", "1000000000000000000"], cwd: "/", user: { uid: 0, gid: 0 } },
    }),
  } as unknown as Container;
}
function task(status: ProcessState["status"], exitStatus = 0): ProcessState {
  const io = { stdin: "", stdout: "", stderr: "", terminal: false };
  return { containerId: "x", pid: 0, status, exitStatus, exitedAt: new Date(made.getTime() + 5000), io };
}

test("status and rows match docker's", () => {
  const now = made.getTime() + 3 * 60_000;
  assert.equal(statusText(seenOf(container("a"), undefined), now), "Created");
  assert.equal(statusText(seenOf(container("a"), task("stopped", 3)), now), "Exited (3) 2 minutes ago");
  assert.equal(statusText(seenOf(container("a"), task("paused")), now), "Up (Paused)");
  const gone = container("a", { "berth/exit-code": "4", "berth/finished-at": "2026-01-01T00:00:30Z" });
  assert.equal(statusText(seenOf(gone, undefined), now), "Exited (4) 2 minutes ago");
  const row = rowOf(seenOf(container("abcdefabcdefabcdef", { team: "x" }), task("running")), false, now);
  assert.equal(row.ID, "abcdefabcdef");
  assert.equal(row.Image, "alpine:3");
  assert.equal(row.Command, '"sleep 1000000000000…"');
  assert.equal(row.RunningFor, "3 minutes ago");
  assert.equal(row.Labels, "team=x");
});

test("filters", () => {
  const all = [
    seenOf(container("aaa", { k: "v" }), task("running")),
    seenOf(container("bbb"), task("stopped", 2)),
    seenOf(container("ccc"), undefined),
  ];
  const ids = (...texts: string[]) => all.filter(containerFilter(texts, all)).map((s) => s.container.id);
  assert.deepEqual(ids("status=running"), ["aaa"]);
  assert.deepEqual(ids("status=running", "status=exited"), ["aaa", "bbb"]);
  assert.deepEqual(ids("exited=2"), ["bbb"]);
  assert.deepEqual(ids("label=k=v"), ["aaa"]);
  assert.deepEqual(ids("label=k", "label=z"), []);
  assert.deepEqual(ids("name=^name-b", "ancestor=alpine:3"), ["bbb"]);
  assert.deepEqual(ids("id=cc"), ["ccc"]);
  assert.throws(() => ids("color=red"), /expected KEY=VALUE with a key of id, name/);
  assert.throws(() => ids("status=happy"), /expected created, running/);
  assert.throws(() => ids("since=nobody"), /no such container: nobody/);
});

test("flags of run", () => {
  const parse = (...argv: string[]) => parseFlags(CREATE_FLAGS, argv, true).flags;
  assert.doesNotThrow(() => checkCreateFlags(parse("--network", "host", "--restart", "no")));
  assert.throws(() => checkCreateFlags(parse("--network", "bridge")), /--network: found "bridge"/);
  for (const policy of ["always", "unless-stopped", "on-failure", "on-failure:3", ""])
    assert.doesNotThrow(() => checkCreateFlags(parse("--restart", policy)));
  for (const [policy, why] of [
    ["sometimes", /--restart: invalid restart policy "sometimes"/],
    ["always:3", /maximum retry count can only be used with on-failure/],
    ["on-failure:-1", /whole number/],
  ] as const)
    assert.throws(() => checkCreateFlags(parse("--restart", policy)), why);
  assert.throws(() => checkCreateFlags(parse("--restart", "always", "--rm")), /both --restart and --rm/);
  assert.doesNotThrow(() => checkCreateFlags(parse("--restart", "no", "--rm")));
  assert.throws(() => checkCreateFlags(parse("--pull", "maybe")), /--pull/);
  assert.deepEqual(environmentOf(parse("-e", "A=1", "-e", "HOST", "-e", "UNSET"), { HOST: "h" }), [
    "A=1",
    "HOST=h",
  ]);
  assert.deepEqual(labelsOf(["a=b=c", "d"]), { a: "b=c", d: "" });
  assert.throws(() => labelsOf(["berth/name=x"]), /--label/);
  assert.equal(memoryOf("64m"), 64 * 2 ** 20);
  assert.throws(() => memoryOf("1k"), /at least 6m/);
  assert.equal(cpusOf(".5"), 0.5);
  assert.throws(() => cpusOf("many"), /--cpus/);
  assert.deepEqual(rlimitsOf(["nofile=1:2"]), [{ type: "RLIMIT_NOFILE", soft: 1, hard: 2 }]);
});

test("exit codes of failed starts", () => {
  const exec = (errno: string) => new BerthError("internal", "cannot start", { stage: "exec", errno });
  assert.equal(startExitCode(exec("ENOENT")), 127);
  assert.equal(startExitCode(exec("EACCES")), 126);
  assert.equal(startExitCode(exec("ENOEXEC")), 126);
  assert.equal(startExitCode(new BerthError("unavailable", "no daemon")), 125);
  assert.equal(startExitCode(new Error('exec: "x": executable file not found in $PATH')), 127);
});
