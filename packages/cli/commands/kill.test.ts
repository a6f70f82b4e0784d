import assert from "node:assert/strict";
import { test } from "node:test";
import { BerthError } from "@berth/base";
import type { Context } from "../command.ts";
import kill from "./kill.ts";

/**
 * Kills a container named "c" whose state after the signal is `state`; returns the command's output and exit code.
 */
async function killing(state: () => Promise<{ status: string } | undefined>, signal: string) {
  let [out, err] = ["", ""];
  const container = {
    id: "c",
    name: "c",
    labels: { "berth/name": "c" },
    task: async () => ({
      kill: async () => {},
      state: async () => (await state()) ?? Promise.reject(new BerthError("not_found", "task c not found")),
    }),
    taskState: state,
  };
  const context = {
    client: async () => ({ containers: { find: async () => container } }),
    out: (text: string) => {
      out += text;
    },
    err: (text: string) => {
      err += text;
    },
  } as unknown as Context;
  const code = await kill.run(context, { signal }, ["c"]);
  return { code, out, err };
}

test("a signal that makes a container exit and disappear at once has not failed", async () => {
  assert.deepEqual(await killing(async () => undefined, "TERM"), { code: 0, out: "c\n", err: "" });
});

test("a signal that is pending because the container is paused is reported", async () => {
  const { code, err } = await killing(async () => ({ status: "paused" }), "TERM");
  assert.equal(code, 0);
  assert.match(err, /^container c is paused: the signal waits/);
  assert.equal((await killing(async () => ({ status: "running" }), "TERM")).err, "");
});
