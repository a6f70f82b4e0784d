import assert from "node:assert/strict";
import test from "node:test";
import { eventTypes } from "@berth/api";
import { EventBus } from "./event-bus.ts";

async function collect(filters: string[], fill: (bus: EventBus) => void): Promise<string[]> {
  const bus = new EventBus();
  const controller = new AbortController();
  const stream = bus.subscribe(filters, controller.signal);
  const first = stream.next();
  fill(bus);
  controller.abort();
  const topics: string[] = [];
  for (let item = await first; !item.done; item = await stream.next()) topics.push(item.value.topic);
  return topics;
}

function fill(bus: EventBus): void {
  bus.emit("a", "/tasks/exit", eventTypes.TaskExitSchema, { containerId: "c1", pid: 7 });
  bus.emit("b", "/tasks/start", eventTypes.TaskStartSchema, { containerId: "c2", pid: 8 });
  bus.emit("b", "/namespaces/create", eventTypes.NamespaceCreateSchema, {
    name: "b",
    labels: { "x.y": "z" },
  });
}

test("subscribers get the events that match their filters", async () => {
  assert.deepEqual(await collect([], fill), ["/tasks/exit", "/tasks/start", "/namespaces/create"]);
  assert.deepEqual(await collect(["namespace==a"], fill), ["/tasks/exit"]);
  assert.deepEqual(await collect(["topic~=^/tasks/"], fill), ["/tasks/exit", "/tasks/start"]);
  assert.deepEqual(await collect(["event.container_id==c2"], fill), ["/tasks/start"]);
  assert.deepEqual(await collect(['event.labels."x.y"==z'], fill), ["/namespaces/create"]);
});

test("invalid events are refused", () => {
  const bus = new EventBus();
  assert.throws(() => bus.publish("a", "", undefined), /must not be empty/);
  assert.throws(() => bus.publish("a", "nope", undefined), /component/);
  assert.throws(() => bus.forward(undefined), /timestamp/);
});
