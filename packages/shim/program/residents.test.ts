import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { log } from "@berth/base";
import { FakeSys } from "@berth/sys";
import { LogFifo } from "./log-fifo.ts";
import { Residents } from "./residents.ts";
import { restoreLog } from "./test-log.ts";

function setup(t: TestContext) {
  restoreLog(t);
  const sys = new FakeSys();
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  let ends = 0;
  const residents = new Residents(new LogFifo(sys, false), () => {
    ends++;
    resolve();
  });
  return { sys, residents, ended, ends: () => ends };
}

const later = { code: "unavailable", message: "the shim is about to end" };

test("the process ends once, after its last container", async (t) => {
  const { residents, ended, ends } = setup(t);
  await residents.admit("a", "/a", async () => {});
  await residents.admit("b", "/b", async () => {});
  residents.leave("a");
  assert.ok(residents.has("b") && !residents.has("a"));
  residents.leave("b");
  assert.equal(ends(), 0, "the next container may come soon");
  await ended;
  residents.endNow();
  assert.equal(ends(), 1);
  assert.throws(() => residents.expect("c", "/c"), later);
  await assert.rejects(
    residents.admit("c", "/c", async () => {}),
    later,
  );
});

test("a new container keeps the process alive", async (t) => {
  const { residents, ends } = setup(t);
  await residents.admit("a", "/a", async () => {});
  residents.leave("a");
  residents.expect("b", "/b");
  residents.endIfEmpty();
  assert.ok(residents.isAnnounced("b"));
  assert.ok(residents.isEmpty, "nothing of it is there yet");
  assert.equal(residents.bundleOf("b"), "/b");
  await residents.admit("b", "/b", async () => {});
  assert.ok(!residents.isAnnounced("b") && residents.has("b") && !residents.isEmpty);
  // One that became empty later has ended by now.
  const other = setup(t);
  other.residents.endIfEmpty();
  await other.ended;
  assert.equal(ends(), 0);
});

test("a failed create removes a new container, but not one that existed before", async (t) => {
  const { residents } = setup(t);
  const fail = () => Promise.reject(new Error("no"));
  await assert.rejects(residents.admit("a", "/a", fail), /no/);
  assert.ok(!residents.has("a"));
  assert.equal(residents.bundleOf("a"), undefined);
  assert.equal(await residents.admit("a", "/a", async () => 7), 7);
  await assert.rejects(residents.admit("a", "/other", fail), /no/);
  assert.ok(residents.has("a"));
  assert.equal(residents.bundleOf("a"), "/a");
  residents.expect("a", "/a");
  assert.ok(residents.has("a") && !residents.isAnnounced("a"), "it is there, whoever announces it");
  residents.endNow();
});

test("log lines go to the newest bundle whose FIFO has a reader", (t) => {
  restoreLog(t);
  const sys = new FakeSys();
  const fifo = new LogFifo(sys, false);
  const written: string[] = [];
  sys.write = (fd, bytes) => {
    written.push(`${sys.fds.get(fd)!.path} ${new TextDecoder().decode(bytes)}`);
  };
  for (const id of ["a", "b", "c"]) fifo.add(id, `/${id}`);
  for (const id of ["a", "b"]) sys.put(`/${id}/log`, "", "fifo");
  log.warn('it "broke"', { id: "a b", count: 3 });
  assert.match(
    written[0]!,
    /^\/b\/log time="[^"]+" level=warning msg="it \\"broke\\"" runtime=io\.containerd\.berth\.v1 id="a b" count="3"\n$/,
  );
  fifo.remove("b");
  log.debug("hidden");
  fifo.setDebug(true);
  log.debug("shown");
  fifo.remove("a");
  log.error("nobody reads it");
  assert.deepEqual(
    written.slice(1).map((line) => line.slice(0, 7)),
    ["/a/log "],
  );
  assert.equal(sys.fds.size, 0);
});
