import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { eventTypes } from "@berth/api";
import { isCode } from "@berth/base";
import { Database } from "../store/database.ts";
import { EventBus } from "./event-bus.ts";
import { EventHistory, openHistory } from "./history.ts";

function folder(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), "berth-events-"));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return join(made, "events");
}

const kept = (from: number, to: number, size = 10) =>
  Array.from({ length: to - from + 1 }, (_, i) => ({
    sequence: from + i,
    bytes: Buffer.alloc(size, String(from + i)),
  }));

function readAll(history: EventHistory, after: number): number[] {
  const out: number[] = [];
  for (let at = after; ; at = out.at(-1)!) {
    const some = history.read(at);
    assert.ok(some !== undefined, `events after ${at} are kept`);
    if (some.length === 0) return out;
    for (const { sequence, bytes } of some) {
      assert.equal(Buffer.from(bytes).toString(), Buffer.alloc(bytes.length, String(sequence)).toString());
      out.push(sequence);
    }
  }
}

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

test("events are read back in order, from memory and from files, by the next daemon too", (t) => {
  const path = folder(t);
  const limits = { memory: 2000, segment: 5000, segments: 100 };
  const first = new EventHistory(path, limits);
  for (let at = 1; at <= 1000; at += 10) first.append(kept(at, at + 9));
  assert.deepEqual(readAll(first, 0), numbers(1, 1000));
  assert.deepEqual(readAll(first, 995), numbers(996, 1000));
  // No close: a killed daemon does not close either.
  const second = new EventHistory(path, limits);
  assert.equal(second.newest, 1000);
  assert.equal(second.oldest, 1);
  assert.deepEqual(readAll(second, 500), numbers(501, 1000));
  second.append(kept(1001, 1003));
  assert.deepEqual(readAll(second, 999), numbers(1000, 1003));
  second.close();
  first.close();
});

test("the history is bounded, in files and in memory", (t) => {
  const path = folder(t);
  const history = new EventHistory(path, { memory: 2000, segment: 5000, segments: 3 });
  for (let at = 1; at <= 5000; at++) history.append(kept(at, at, 100));
  const sizes = readdirSync(path).map((name) => statSync(join(path, name)).size);
  assert.equal(sizes.length, 3);
  assert.ok(Math.max(...sizes) <= 5000 + 112);
  assert.equal(history.read(history.oldest - 2), undefined);
  assert.deepEqual(readAll(history, history.oldest - 1), numbers(history.oldest, 5000));
  const inMemory = new EventHistory(undefined, { memory: 2000 });
  inMemory.append(kept(1, 100, 100));
  assert.ok(inMemory.oldest > 80);
  // An event larger than the whole limit is kept nevertheless.
  history.append(kept(5001, 5001, 20_000));
  assert.deepEqual(readAll(history, 4999), [5000, 5001]);
  history.close();
});

test("a record truncated by a crash is removed", (t) => {
  const path = folder(t);
  const first = new EventHistory(path);
  first.append(kept(1, 5));
  first.close();
  appendFileSync(join(path, "1.events"), Buffer.from([200, 0, 0, 0, 6, 0, 0, 0]));
  const second = new EventHistory(path);
  assert.equal(second.newest, 5);
  second.append(kept(6, 6));
  second.close();
  const third = new EventHistory(path);
  assert.deepEqual(readAll(third, 0), numbers(1, 6));
  third.close();
});

test("numbers do not go back when the files are lost", (t) => {
  const path = folder(t);
  const db = new Database(":memory:");
  const start = () => {
    const { history, reserve } = openHistory(db, path);
    return new EventBus(history, reserve);
  };
  const emit = (bus: EventBus) => bus.emit("n", "/tasks/paused", eventTypes.TaskPausedSchema, {});
  const first = start();
  for (let i = 0; i < 3; i++) emit(first);
  first.close();
  const second = start();
  assert.equal(second.sequence, 3);
  emit(second);
  second.close();
  rmSync(path, { recursive: true });
  const third = start();
  assert.ok(third.sequence >= 4);
  third.close();
});

test("a subscriber resumes after a number, and gets an error if that is no longer kept", async () => {
  const bus = new EventBus(new EventHistory(undefined, { memory: 3000 }));
  const emit = (id: string) => bus.emit("n", "/tasks/start", eventTypes.TaskStartSchema, { containerId: id });
  const { signal } = new AbortController();
  const follow = (after: number) => bus.follow({ filters: [], after, signal });
  emit("a");
  emit("b");
  const some = follow(1);
  assert.equal((await some.next()).value?.sequence, 2);
  const next = some.next();
  emit("c");
  assert.equal((await next).value?.sequence, 3);
  for (let i = 0; i < 200; i++) emit("d");
  bus.flush();
  await assert.rejects(follow(0).next(), (error) => {
    assert.ok(isCode(error, "out_of_range"));
    const oldest = Number(/oldest there is has number (\d+)/.exec(String(error))?.[1]);
    return oldest > 1 && oldest < 203;
  });
  await assert.rejects(follow(204).next(), (error) => isCode(error, "out_of_range"));
  // A subscriber that does not read holds no memory, and learns that it missed events.
  await assert.rejects(some.next(), (error) => isCode(error, "resource_exhausted"));
});

test("since and until bound the delivered events", async () => {
  const bus = new EventBus();
  const emit = (id: string) => bus.emit("n", "/tasks/start", eventTypes.TaskStartSchema, { containerId: id });
  const { signal } = new AbortController();
  emit("a");
  emit("b");
  const until = BigInt(Date.now() + 300) * 1_000_000n;
  const seen: number[] = [];
  for await (const { sequence } of bus.follow({ filters: [], since: 0n, until, signal })) {
    seen.push(sequence);
    if (sequence === 2) emit("c");
  }
  assert.deepEqual(seen, [1, 2, 3]);
  const none = bus.follow({ filters: [], since: until, until, signal });
  assert.equal((await none.next()).done, true);
});
