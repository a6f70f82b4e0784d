import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeSys } from "@berth/sys";
import { fromBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { eventMessage } from "../contract/event-message.ts";
import { Publisher, type PublisherOptions } from "./publisher.ts";

const PROGRAM = "/usr/bin/containerd";
const start = (id: string) => eventMessage({ topic: "/tasks/start", namespace: "ns", id, pid: 7 });

function setup(options: Partial<PublisherOptions> = {}) {
  const sys = new FakeSys().put("/dev/null", "", "char") as FakeSys;
  sys.variables.A = "1";
  const publisher = new Publisher({
    sys,
    namespace: "ns",
    ttrpcAddress: "",
    address: "/c.sock",
    publishBinary: PROGRAM,
    ...options,
  });
  return { sys, publisher };
}

test("without a ttrpc address, events are published by containerd's program, one at a time", async () => {
  const { sys, publisher } = setup();
  const inputs: string[] = [];
  sys.onSpawn = ({ fds }, pid) => {
    const any = fromBinary(AnySchema, sys.fds.get(fds[0]!)!.file.content);
    inputs.push(any.typeUrl);
    assert.equal(sys.running.size, 0, "the one before has ended");
    sys.running.add(pid);
  };
  // It takes a while.
  sys.sleep = async () => sys.running.clear();
  for (const id of ["a", "b"]) publisher.publish("/tasks/start", start(id));
  await publisher.close(60_000);
  const [first, second] = sys.spawned;
  assert.deepEqual(first!.argv, [
    PROGRAM,
    ...["--address", "/c.sock", "publish", "--topic", "/tasks/start", "--namespace", "ns"],
  ]);
  assert.deepEqual(first!.env, ["A=1"]);
  assert.ok(second !== undefined);
  assert.deepEqual(inputs, ["containerd.events.TaskStart", "containerd.events.TaskStart"]);
  assert.equal(sys.fds.size, 0);
});

test("a publish program that hangs is killed", async () => {
  const { sys, publisher } = setup();
  sys.onSpawn = (_, pid) => {
    sys.processes.set(pid, []);
    if (sys.spawned.length === 1) sys.running.add(pid);
  };
  const { kill } = sys;
  sys.kill = (pid, signal) => {
    sys.running.delete(pid);
    return kill.call(sys, pid, signal);
  };
  publisher.publish("/tasks/start", start("a"));
  await publisher.close(60_000);
  assert.deepEqual(sys.processes.get(1001), [9]);
});

test("without address and program, events are dropped", async () => {
  const { sys, publisher } = setup({ publishBinary: undefined });
  publisher.publish("/tasks/start", start("a"));
  await publisher.close(60_000);
  assert.equal(sys.spawned.length, 0);
});
