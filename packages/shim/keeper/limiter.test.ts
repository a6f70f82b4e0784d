import assert from "node:assert/strict";
import { test } from "node:test";
import { Limiter } from "./limiter.ts";

test("work runs in order and within the limit; canceled work leaves the queue", async () => {
  const limiter = new Limiter(2);
  const begun: number[] = [];
  const gates = Array.from({ length: 5 }, () => Promise.withResolvers<void>());
  const abort = new AbortController();
  const all = gates.map((gate, i) =>
    limiter.run(i === 3 ? abort.signal : undefined, async () => {
      begun.push(i);
      await gate.promise;
      if (i === 2) throw new Error("failed");
      return i;
    }),
  );
  const outcomes = Promise.allSettled(all);
  assert.deepEqual(begun, [0, 1]);
  assert.deepEqual(limiter.load, { busy: 2, waiting: 3 });
  abort.abort();
  assert.deepEqual(limiter.load, { busy: 2, waiting: 2 });
  for (const gate of gates) gate.resolve();
  const settled = await outcomes;
  assert.deepEqual(begun, [0, 1, 2, 4]);
  assert.deepEqual(
    settled.map((o) => o.status),
    ["fulfilled", "fulfilled", "rejected", "rejected", "fulfilled"],
  );
  assert.equal((settled[3] as PromiseRejectedResult).reason.code, "canceled");
  assert.deepEqual(limiter.load, { busy: 0, waiting: 0 });
  await assert.rejects(
    limiter.run(abort.signal, async () => {}),
    { code: "canceled" },
  );
});
