import assert from "node:assert/strict";
import { test } from "node:test";
import { type FakePeer, FakeSys } from "@berth/sys";
import { KeeperLink, parseExit } from "./keeper-link.ts";

const PATH = "/run/k.sock";

/** A link, and the keeper's end of it. */
async function open(): Promise<{ link: KeeperLink; keeper: FakePeer }> {
  let keeper: FakePeer | undefined;
  const sys = new FakeSys().listen(PATH, (peer) => {
    keeper = peer;
  });
  const link = await KeeperLink.open(sys, PATH);
  return { link: link!, keeper: keeper! };
}

test("exit records are parsed, with or without OOM kills; invalid ones are rejected", () => {
  assert.deepEqual(parseExit("137 12 2\n"), { exitStatus: 137, exitedAt: 12n, ooms: 2 });
  assert.deepEqual(parseExit("0 12"), { exitStatus: 0, exitedAt: 12n, ooms: 0 });
  for (const bad of ["", "x 1 2", "1", "1 2 3 4", "-1 2 3", "1000 2"])
    assert.equal(parseExit(bad), undefined, bad);
});

test("there is no link if nobody listens", async () => {
  assert.equal(await KeeperLink.open(new FakeSys(), PATH), undefined);
  assert.equal(await KeeperLink.open(new FakeSys().put(PATH, "", "socket"), PATH), undefined);
});

test("a command to a keeper that has exited fails at once, not after the time limit", async () => {
  const { link, keeper } = await open();
  keeper.send("PID 5", "EXIT 3 17 0").close();
  assert.equal(await link.pid, 5);
  assert.deepEqual(await link.ended, { exitStatus: 3, exitedAt: 17n, ooms: 0 });
  await assert.rejects(link.command("RESIZE 1 1"), { code: "not_found" });
  assert.deepEqual(keeper.received, []);
});

test("answers go to commands in order; an errno becomes an error", async () => {
  const { link, keeper } = await open();
  const outcomes = Promise.allSettled([
    link.command("CLOSE_STDIN"),
    link.command("KILL 99"),
    link.command("KILL 9"),
  ]);
  assert.deepEqual(keeper.received, ["CLOSE_STDIN", "KILL 99", "KILL 9"]);
  keeper.send("OK", "ERR 22", "ERR 3");
  const [first, second, third] = await outcomes;
  assert.equal(first!.status, "fulfilled");
  const { reason } = second as PromiseRejectedResult;
  assert.deepEqual(
    [reason.code, reason.errno, reason.message],
    ["invalid_argument", "EINVAL", "keeper: EINVAL"],
  );
  assert.equal((third as PromiseRejectedResult).reason.errno, "ESRCH");
});

test("when a keeper closes, pending commands fail; without an exit it was killed", async () => {
  const { link, keeper } = await open();
  const command = link.command("KILL 9");
  keeper.close();
  await assert.rejects(command, { code: "not_found", message: "the process has ended" });
  assert.equal(await link.ended, undefined);
  assert.equal(await link.pid, undefined);
});

test("OOM kills are reported as they come; unknown lines are ignored", async () => {
  const { link, keeper } = await open();
  const counts: number[] = [];
  link.onOom = (ooms) => counts.push(ooms);
  keeper.send("HELLO", "OOM 1", "OOM 3", "PID 8");
  assert.equal(await link.pid, 8);
  assert.deepEqual(counts, [1, 3]);
});

test("the link can be closed", async () => {
  const { link, keeper } = await open();
  link.close();
  assert.equal(await link.ended, undefined);
  assert.ok(keeper.closed);
  await assert.rejects(link.command("KILL 9"), { code: "not_found" });
});
