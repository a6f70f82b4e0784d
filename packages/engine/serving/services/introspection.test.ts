import assert from "node:assert/strict";
import test from "node:test";
import { diff, namespaces, pack, runc, runtimeTypes, unpack } from "@berth/api";
import { service } from "@berth/rpc";
import { create } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { coreParts, optionalParts, servicePlugin, snapshotterPlugin } from "../plugins/catalog.ts";
import { PluginRegistry } from "../plugins/registry.ts";
import { callerOf } from "./fake-call.ts";
import { introspectionService } from "./introspection.ts";

interface Shown {
  type: string;
  id: string;
  capabilities: string[];
  initErr?: { message: string };
}

function setup() {
  const plugins = new PluginRegistry();
  for (const part of coreParts("/r", "shared")) plugins.need(part);
  plugins.load(
    snapshotterPlugin("native", "/r"),
    () => true,
    () => "no room: skip plugin",
  );
  for (const part of optionalParts()) plugins.add(part);
  for (const served of [service(diff.Diff, {}), service(namespaces.Namespaces, {})])
    plugins.add(servicePlugin(served)!);
  const asked: [string, Any | undefined][] = [];
  const call = callerOf(
    introspectionService({
      plugins: () => plugins.list(),
      uuid: "u",
      runtimeInfo: async (runtime, options) => {
        asked.push([runtime, options]);
        return create(runtimeTypes.RuntimeInfoSchema, { name: runtime });
      },
    }),
  );
  const find = async (...filters: string[]) => (await call("plugins", { filters })).plugins as Shown[];
  return { call, find, asked };
}

test("plugins have containerd's types and ids; clients find what they look for", async () => {
  const { find } = setup();
  const [restart, ...others] = await find("id==restart");
  assert.deepEqual(restart!.capabilities, ["no", "always", "unless-stopped", "on-failure"]);
  assert.deepEqual(others, []);
  const served = (await find("type==io.containerd.grpc.v1")).map(({ id }) => id);
  assert.deepEqual(served, ["diff", "namespaces"], "those that are served");
  const [native] = await find("type==io.containerd.snapshotter.v1, id==native");
  assert.equal(native!.initErr!.message, "no room: skip plugin");
});

test("a runtime's description comes with the runtime plugin", async () => {
  const { call, asked } = setup();
  const of = { type: "io.containerd.runtime.v2", id: "task" };
  assert.equal((await call("pluginInfo", of)).extra, undefined);
  const options = pack(runc.OptionsSchema, { binaryName: "crun" });
  const request = pack(runtimeTypes.RuntimeRequestSchema, { runtimePath: "io.containerd.runc.v2", options });
  const { extra } = await call("pluginInfo", { ...of, options: request });
  assert.equal(unpack(runtimeTypes.RuntimeInfoSchema, extra as Any)!.name, "io.containerd.runc.v2");
  assert.deepEqual(
    asked.map(([name, given]) => [name, given?.typeUrl]),
    [["io.containerd.runc.v2", options.typeUrl]],
  );
  await assert.rejects(call("pluginInfo", { ...of, options }), { code: "unimplemented" });
  const elsewhere = { type: "io.containerd.grpc.v1", id: "diff", options: request };
  await assert.rejects(call("pluginInfo", elsewhere), { code: "unimplemented" });
  await assert.rejects(call("pluginInfo", { type: "x", id: "y" }), { code: "not_found" });
});
