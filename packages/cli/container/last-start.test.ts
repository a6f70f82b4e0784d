import assert from "node:assert/strict";
import { test } from "node:test";
import { lastStart } from "./last-start.ts";

const op = (name: string, facts = {}) => ({ root: { name: `tasks.${name}`, facts } });

test("the last start, including the stop before it in a restart, without execs", () => {
  const first = [op("Create"), op("Start")];
  const exec = [op("Exec"), op("Start", { exec: "e" }), op("Delete", { exec: "e" })];
  const restart = [op("Kill"), op("Delete"), op("Create"), op("Start")];
  assert.deepEqual(lastStart([...first, op("Exec"), op("Start", { exec: "e" })]), first);
  assert.deepEqual(
    lastStart([...first, op("Exec"), op("Start", { exec: "e" }), ...restart, ...exec]),
    restart,
  );
  assert.deepEqual(lastStart([op("Create")]), []);
  const whole = { root: { name: "containers.Restart", facts: {} } };
  assert.deepEqual(lastStart([...first, op("Kill"), whole, op("Kill")]), [whole]);
});
