import assert from "node:assert/strict";
import test from "node:test";
import { pack } from "@berth/api/any";
import { BootstrapParamsSchema, BootstrapResultSchema } from "@berth/api/bootstrap";
import { CheckpointOptionsSchema, OptionsSchema } from "@berth/api/runc";
import * as runtimeOptions from "@berth/api/runtimeOptions";
import { FakeSys } from "@berth/sys";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { answerOf, readBootstrap } from "./bootstrap.ts";
import { parseCall } from "./flags.ts";
import { readCheckpoint, readCreateOptions } from "./options.ts";
import { groupOf, placeOf } from "./place.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

test("flags are parsed with one dash or two", () => {
  assert.deepEqual(
    parseCall(["-namespace", "k8s.io", "--id=x", "-address", "", "-publish-binary", "/c", "-debug", "start"]),
    { action: "start", namespace: "k8s.io", id: "x", address: "", "publish-binary": "/c", debug: true },
  );
  assert.deepEqual(parseCall(["-debug=false", "-info"]), { action: "", debug: false, info: true });
  for (const wrong of [
    ["-frob"],
    ["start", "delete"],
    ["-id"],
    ["-debug=maybe"],
    ["-debug-socket", "x"],
    ["-socket", "x", "start"],
  ])
    assert.throws(() => parseCall(wrong), { code: "invalid_argument" }, wrong.join(" "));
});

test("the form of the answer follows containerd's version", async () => {
  const old = await readBootstrap(new Uint8Array(), "id", "ns", undefined);
  assert.equal(text(await answerOf(old, "/run/s")), "unix:///run/s");
  const options = toBinary(AnySchema, pack(OptionsSchema, { shimCgroup: "/shims", root: "/r" }));
  const middle = await readBootstrap(options, "id", "ns", "2");
  assert.equal(middle.shimCgroup, "/shims");
  assert.deepEqual(JSON.parse(text(await answerOf(middle, "/run/s"))), {
    version: 3,
    address: "unix:///run/s",
    protocol: "ttrpc",
  });
  const params = toBinary(
    BootstrapParamsSchema,
    create(BootstrapParamsSchema, {
      instanceId: "id",
      namespace: "ns",
      logLevel: -4,
      containerdTtrpcAddress: "/c.ttrpc",
      socketDir: "/run/containerd/s",
      extensions: [{ value: pack(OptionsSchema, { shimCgroup: "/other" }) }],
    }),
  );
  const now = await readBootstrap(params, "id", "ns", "2");
  assert.deepEqual(
    [now.form, now.debug, now.ttrpcAddress, now.socketDir, now.shimCgroup],
    ["protobuf", true, "/c.ttrpc", "/run/containerd/s", "/other"],
  );
  const answer = fromBinary(BootstrapResultSchema, await answerOf(now, "/run/s"));
  assert.deepEqual([answer.version, answer.address, answer.protocol], [3, "unix:///run/s", "ttrpc"]);
  assert.equal((await readBootstrap(params, "another", "ns", "2")).form, "json");
});

test("each containerd, namespace and group has its own short paths", () => {
  const sys = new FakeSys();
  const place = (address: string, namespace: string, group?: string) =>
    placeOf(sys, address, namespace, group, undefined).socket;
  const places = [
    place("/a", "default"),
    place("/b", "default"),
    place("/a", "k8s.io"),
    place("/a", "default", "g"),
  ];
  assert.equal(new Set(places).size, 4);
  assert.equal(place("/a", "default"), places[0]);
  assert.ok(place("/a".repeat(200), "n".repeat(76)).length < 80);
  assert.match(placeOf(sys, "/a", "default", undefined, "/run/s").socket, /^\/run\/s\/berth-[0-9a-f]{16}$/);
  sys.mkdirAll("/b", 0o755);
  sys.writeFile("/b/config.json", '{"annotations":{"io.containerd.runc.v2.group":"pod"}}');
  assert.equal(groupOf(sys, "/b"), "pod");
  sys.writeFile("/b/config.json", '{"annotations":{"other":"io.containerd.runc.v2.group"}}');
  assert.equal(groupOf(sys, "/b"), undefined);
});

test("options are read from a message or TOML; unsupported ones are refused by name", async () => {
  const sys = new FakeSys();
  const given = { systemdCgroup: true, ioUid: 5, ioGid: 6, shimCgroup: "/s" };
  const expected = { systemdCgroup: true, ioOwner: { uid: 5, gid: 6 } };
  assert.deepEqual(await readCreateOptions(sys, pack(OptionsSchema, given)), expected);
  const toml = (body: string) =>
    readCreateOptions(
      sys,
      pack(runtimeOptions.OptionsSchema, { configBody: new TextEncoder().encode(body) }),
    );
  assert.deepEqual(await toml('SystemdCgroup = true\nIoUid = 5\nIoGid = 6\nShimCgroup = "/s"'), expected);
  assert.deepEqual(await readCreateOptions(sys, undefined), {});
  await assert.rejects(toml("Systemd = true"), /Systemd: expected one of NoPivotRoot/);
  await assert.rejects(toml("= 1"), { code: "invalid_argument" });
  await assert.rejects(readCreateOptions(sys, pack(OptionsSchema, { binaryName: "crun" })), /binary_name/);
  const checkpoint = readCheckpoint("/image", pack(CheckpointOptionsSchema, { exit: true, openTcp: true }));
  assert.deepEqual([checkpoint.path, checkpoint.exit, checkpoint.openTcp], ["/image", true, true]);
});
