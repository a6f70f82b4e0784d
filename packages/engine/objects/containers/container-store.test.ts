import assert from "node:assert/strict";
import test from "node:test";
import { containers } from "@berth/api";
import { create } from "@bufbuild/protobuf";
import { EventBus } from "../../base/events/event-bus.ts";
import { Database } from "../../base/store/database.ts";
import { ContainerStore } from "./container-store.ts";

function record(id: string, name?: string) {
  return create(containers.ContainerSchema, {
    id,
    labels: name === undefined ? {} : { "berth/name": name },
    runtime: { name: "io.containerd.runc.v2" },
    spec: { typeUrl: "t", value: Buffer.from("{}") },
  });
}

test("a name belongs to one container of a namespace, also in a race", () => {
  const store = new ContainerStore(new Database(":memory:"), new EventBus());
  store.create("n", record("a", "web"));
  assert.throws(
    () => store.create("n", record("b", "web")),
    /the name "web" is in use by container a: already exists/,
  );
  store.create("n", record("web"));
  store.create("n", record("c", "web2"));
  store.create("other", record("b", "web"));
  assert.throws(() => store.create("n", record("a", "new")), /container "a": already exists/);
  assert.throws(() => store.update("n", record("c", "web"), ["labels.berth/name"]), /in use by container a/);
  store.update("n", record("a", "web"), ["labels"]);
});
