import assert from "node:assert/strict";
import test from "node:test";
import { KeyedMutex } from "./mutex.ts";

const pause = () => new Promise((resolve) => setTimeout(resolve, 5));

test("work on a key is serialized, but joins work of the same kind", async () => {
  const mutex = new KeyedMutex();
  const log: string[] = [];
  const work = (name: string) => async () => {
    log.push(`${name} begins`);
    await pause();
    log.push(`${name} ends`);
    return name;
  };
  const all = [
    mutex.runWith("k", "create", work("first")),
    mutex.run("k", work("removal")),
    pause().then(() => mutex.runWith("k", "create", work("later"))),
  ];
  await Promise.resolve();
  await Promise.resolve();
  all.push(mutex.runWith("k", "create", work("same")));
  all.push(mutex.runWith("other", "create", work("elsewhere")));
  assert.deepEqual(await Promise.all(all), ["first", "removal", "later", "same", "elsewhere"]);
  const at = (line: string) => log.indexOf(line);
  assert.ok(at("same begins") < at("first ends"), "the same joins in");
  assert.ok(at("elsewhere begins") < at("first ends"));
  assert.ok(at("removal begins") > at("same ends"), "the other waits for both");
  assert.equal(mutex.busy("k"), false);
});

test("a failure releases the lock", async () => {
  const mutex = new KeyedMutex();
  const failing = mutex.runWith("k", "create", async () => {
    await pause();
    throw new Error("no");
  });
  const next = mutex.run("k", async () => "yes");
  await assert.rejects(failing, /no/);
  assert.equal(await next, "yes");
});
