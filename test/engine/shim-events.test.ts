/** Where shims send their events: the ttrpc socket, and the command that does it by the API. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { pack } from "@berth/api";
import { Events } from "@berth/api/events";
import * as eventTypes from "@berth/api/eventTypes";
import { Events as ShimEvents } from "@berth/api/shimEvents";
import { timestamp } from "@berth/api/time";
import type * as types from "@berth/api/types";
import { connect as connectGrpc } from "@berth/grpc";
import { connect } from "@berth/ttrpc";
import { toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { berthdArgs, cannotRun, Folder, startBerthd } from "../support/daemons.ts";
import { until } from "../support/until.ts";

const skip = cannotRun();

test("events of shims are published as they were sent; what is no event is refused", { skip }, async (t) => {
  const folder = new Folder();
  const daemon = await startBerthd(folder.path);
  const path = `${daemon.socket}.ttrpc`;
  const grpc = connectGrpc({ path: daemon.socket, headers: { "containerd-namespace": "n" } });
  let shim = connect({ address: path });
  const stop = new AbortController();
  t.after(async () => {
    stop.abort();
    shim.close();
    grpc.close();
    await daemon.stop();
    await folder.remove();
  });
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const heard: types.Envelope[] = [];
  const listening = (async () => {
    const request = { filters: ['topic~="^/(tasks|sandboxes)/"'] };
    for await (const envelope of grpc.client(Events).subscribe(request, { signal: stop.signal }))
      heard.push(envelope);
  })().catch(() => undefined);
  const event = pack(eventTypes.TaskOOMSchema, { containerId: "c" });
  const envelope = { timestamp: timestamp(1_000_000_005n), namespace: "other", topic: "/tasks/oom", event };
  await until("an event is heard", async () => {
    await grpc.client(Events).publish({ topic: "/tasks/first", event });
    return heard.length > 0;
  });
  heard.length = 0;
  await shim.client(ShimEvents).forward({ envelope });
  // Of a topic that means nothing to berthd, and without a body.
  await shim.client(ShimEvents).forward({
    envelope: { timestamp: timestamp(7n), namespace: "other", topic: "/sandboxes/exit" },
  });
  await grpc.client(Events).forward({ envelope });
  await until("three events are heard", () => heard.length >= 3);
  assert.deepEqual(
    heard.map((e) => [e.topic, e.namespace, e.timestamp?.seconds, e.timestamp?.nanos, e.event?.typeUrl]),
    [
      ["/tasks/oom", "other", 1n, 5, "containerd.events.TaskOOM"],
      ["/sandboxes/exit", "other", 0n, 7, undefined],
      ["/tasks/oom", "other", 1n, 5, "containerd.events.TaskOOM"],
    ],
  );

  const long = "x".repeat(1025);
  const refused: [object, RegExp][] = [
    [{ ...envelope, timestamp: undefined }, /no timestamp/],
    [{ ...envelope, namespace: "" }, /must not be empty/],
    [{ ...envelope, namespace: "../x" }, /must match/],
    [{ ...envelope, topic: "tasks" }, /must look like/],
    [{ ...envelope, topic: `/${long}` }, /topic has 1026 characters, at most 1024/],
    [{ ...envelope, event: { ...event, typeUrl: long } }, /type URL has 1025 characters, at most 1024/],
    [{ ...envelope, event: { ...event, typeUrl: "" } }, /has no type URL/],
    [{ ...envelope, event: { ...event, value: new Uint8Array((1 << 20) + 1) } }, /at most 1048576/],
  ];
  for (const [bad, why] of refused)
    await assert.rejects(shim.client(ShimEvents).forward({ envelope: bad } as never), why);
  await assert.rejects(shim.client(ShimEvents).forward({}), /no timestamp/);

  // A shim that cannot use the socket runs a command.
  heard.length = 0;
  const { code, stderr } = await publish(folder.path, daemon.socket, toBinary(AnySchema, event));
  assert.deepEqual([code, stderr], [0, ""]);
  await until("the command's event is heard", () => heard.length > 0);
  assert.deepEqual([heard[0]!.topic, heard[0]!.namespace], ["/tasks/oom", "n"]);

  rmSync(path);
  shim.close();
  await until("the socket is there again", () => statSync(path, { throwIfNoEntry: false }) !== undefined);
  shim = connect({ address: path });
  await shim.client(ShimEvents).forward({ envelope });
  assert.equal(statSync(path).mode & 0o777, 0o600);
  stop.abort();
  await listening;
});

async function publish(folder: string, socket: string, event: Uint8Array) {
  const [quiet, main] = berthdArgs(folder) as [string, string];
  const args = [quiet, main, "--address", socket, "publish", "--topic", "/tasks/oom", "--namespace", "n"];
  const child = spawn(process.execPath, args, { cwd: join(folder), stdio: ["pipe", "inherit", "pipe"] });
  let stderr = "";
  child.stderr.on("data", (chunk) => (stderr += chunk));
  child.stdin.end(event);
  const [code] = (await once(child, "exit")) as [number];
  return { code, stderr };
}
