import assert from "node:assert/strict";
import { test } from "node:test";
import { BerthError } from "@berth/base";
import { FakeSys } from "@berth/sys";
import { deviceProperties, parseDeviceGroups } from "./devices.ts";
import { parseGVariant } from "./gvariant.ts";
import { Manager, type Property, parseAddress } from "./manager.ts";
import { decodeMessage, ERROR, encodeMessage, METHOD_RETURN, type Message, SIGNAL } from "./message.ts";
import { annotatedProperties, unitProperties } from "./properties.ts";
import { cpusetBits, resourceProperties } from "./resources.ts";
import { splitSignature } from "./types.ts";
import { expectedPath, slicePath, unitName } from "./unit.ts";

const message = (parts: Partial<Message>): Message => ({
  type: 1,
  flags: 0,
  serial: 1,
  signature: "",
  body: [],
  ...parts,
});

test("a message is encoded byte by byte as specified", () => {
  const bytes = encodeMessage(message({ path: "/a", member: "Hi", signature: "su", body: ["xy", 7] }));
  const expected = [
    "6c010001",
    "0c000000",
    "01000000",
    "28000000", // head: little endian, call, version 1; body 12, serial 1, fields 40
    "01016f00",
    "02000000",
    "2f610000",
    "00000000", // path /a, padded to 8
    "03017300",
    "02000000",
    "48690000",
    "00000000", // member Hi
    "08016700",
    "02737500", // signature su: 40 bytes until here
    "02000000",
    "78790000",
    "07000000", // body
  ];
  assert.equal(Buffer.from(bytes).toString("hex"), expected.join(""));
});

test("every type round-trips, in messages of any length", () => {
  const body = [
    255,
    true,
    -2,
    65535,
    -3,
    4_000_000_000,
    -5n,
    2n ** 64n - 1n,
    1.5,
    "text é".repeat(100),
    "/o",
    "a{sv}",
    [["k", { signature: "as", value: ["v", ""] }]],
    [1, "two", [3n]],
    [],
  ];
  const signature = "ybnqiuxtdsoga{sv}(isat)aat";
  assert.equal(splitSignature(signature).length, body.length);
  const bytes = encodeMessage(message({ path: "/p", member: "M", signature, body }));
  const decoded = decodeMessage(Buffer.concat([bytes, bytes.subarray(0, 20)]));
  assert.equal(decoded?.size, bytes.length);
  assert.deepEqual(decoded?.message.body, body);
  for (const part of [0, 15, 16, bytes.length - 1])
    assert.equal(decodeMessage(bytes.subarray(0, part)), undefined);
});

test("malformed messages are refused, and never read beyond their end", () => {
  const good = encodeMessage(message({ path: "/p", member: "M", signature: "as", body: [["a", "b"]] }));
  assert.throws(() => decodeMessage(Uint8Array.from([0x42, ...good.subarray(1)])), /little endian/);
  let refused = 0;
  for (let i = 0; i < good.length; i++) {
    for (const value of [0, 0x7f, 0xff]) {
      const bad = good.slice();
      bad[i] = value;
      try {
        decodeMessage(bad);
      } catch (error) {
        assert.ok(error instanceof BerthError, `${i}: ${error}`);
        refused++;
      }
    }
  }
  assert.ok(refused > 20);
  assert.throws(() => splitSignature("a"), /signature/);
  assert.throws(() => splitSignature("(s"), /signature/);
});

/** A peer with replies by method name. */
class PeerSys extends FakeSys {
  readonly requests: Message[] = [];
  replies: Record<string, Partial<Message> | Partial<Message>[]> = {};
  #out: Uint8Array[] = [];
  override write(_fd?: number, bytes: Uint8Array = new Uint8Array()): void {
    if (bytes[0] === 0) {
      this.#out.push(new TextEncoder().encode("OK 0123\r\n"));
      return;
    }
    const request = decodeMessage(bytes)!.message;
    this.requests.push(request);
    const replies = this.replies[request.member!] ?? {};
    for (const reply of Array.isArray(replies) ? replies : [replies])
      this.#out.push(
        encodeMessage(
          message({
            type: METHOD_RETURN,
            serial: 9,
            ...(reply.type === SIGNAL ? {} : { replySerial: request.serial }),
            ...reply,
          }),
        ),
      );
  }
  override async poll(): Promise<number> {
    return this.#out.length > 0 ? 1 : 0;
  }
  override readSync(): Uint8Array {
    // In two parts, as a stream may deliver it.
    const next = this.#out.shift()!;
    if (next.length < 8) return next;
    this.#out.unshift(next.subarray(5));
    return next.subarray(0, 5);
  }
}

const jobRemoved = (job: string, result: string) => ({
  type: SIGNAL,
  path: "/org/freedesktop/systemd1",
  interface: "org.freedesktop.systemd1.Manager",
  member: "JobRemoved",
  signature: "uoss",
  body: [1, job, "x.scope", result],
});

test("starting a unit waits for its job, even if JobRemoved arrives before the reply", async () => {
  const sys = new PeerSys();
  sys.put("/run/systemd/private", "");
  sys.replies = {
    StartTransientUnit: [
      jobRemoved("/job/1", "done"),
      { signature: "o", body: ["/job/2"] },
      jobRemoved("/job/2", "done"),
    ],
    StopUnit: {
      type: ERROR,
      errorName: "org.freedesktop.systemd1.NoSuchUnit",
      signature: "s",
      body: ["no such unit"],
    },
  };
  const manager = await Manager.connect(sys);
  await manager.startTransient("x.scope", [["PIDs", { signature: "au", value: [5] }]]);
  assert.deepEqual(sys.requests[0]!.body, [
    "x.scope",
    "replace",
    [["PIDs", { signature: "au", value: [5] }]],
    [],
  ]);
  await manager.stop("x.scope");
  assert.deepEqual(
    sys.requests.map((m) => m.member),
    ["StartTransientUnit", "StopUnit", "ResetFailedUnit"],
  );
  sys.replies.StartTransientUnit = [{ signature: "o", body: ["/job/3"] }, jobRemoved("/job/3", "failed")];
  await assert.rejects(
    manager.startTransient("x.scope", []),
    /could not start x.scope: its job ended with "failed"/,
  );
  sys.replies.StartTransientUnit = { signature: "o", body: ["/job/4"] };
  await assert.rejects(
    manager.startTransient("x.scope", []),
    /did not answer within 30000 ms: the job for x.scope/,
  );
});

test("on a bus, signals are subscribed to", async () => {
  const sys = new PeerSys();
  sys.put("/run/dbus/system_bus_socket", "");
  await Manager.connect(sys);
  assert.deepEqual(
    sys.requests.map((m) => m.member),
    ["Hello", "AddMatch", "Subscribe"],
  );
  await assert.rejects(
    Manager.connect(new PeerSys()),
    /systemd cannot be reached: connect \/run\/systemd\/private: ENOENT/,
  );
  assert.equal(parseAddress("tcp:host=x;unix:guid=1,path=/a%20b,x=y"), "/a b");
  assert.equal(parseAddress("unix:abstract=/tmp/x"), "\0/tmp/x");
  assert.equal(parseAddress(undefined), undefined);
});

test("cgroupsPath names slice, prefix and unit", () => {
  assert.deepEqual(unitName(undefined, "c", false), { unit: "runc-c.scope", slice: "system.slice" });
  assert.deepEqual(unitName("", "c", true), { unit: "runc-c.scope", slice: "user.slice" });
  assert.deepEqual(unitName("a-b.slice:cri:x", "c", false), { unit: "cri-x.scope", slice: "a-b.slice" });
  assert.deepEqual(unitName("-.slice::x", "c", false), { unit: "x.scope", slice: "-.slice" });
  assert.equal(
    expectedPath(unitName("a-b-c.slice:p:x", "c", false)),
    "/a.slice/a-b.slice/a-b-c.slice/p-x.scope",
  );
  assert.equal(expectedPath(unitName("a.slice::a-own.slice", "c", false)), "/a.slice/a-own.slice");
  assert.equal(slicePath("-.slice"), "");
  for (const bad of [
    "/a/b",
    "a:b",
    "a.scope:b:c",
    "a.slice:b:",
    "../x.slice:b:c",
    "a--b.slice:p:n",
    "-a.slice:p:n",
    "a-.slice:p:n",
    "a.slice:b:../c",
    "a/b.slice:p:n",
  ])
    assert.throws(() => unitName(bad, "c", false), /linux.cgroupsPath: found/, bad);
});

const found = (properties: readonly Property[]) =>
  Object.fromEntries(properties.map(([name, v]) => [name, v.value]));
const MAX = 2n ** 64n - 1n;

test("limits become properties, for both versions", () => {
  const resources = {
    memory: { limit: 100, reservation: 50, swap: 150 },
    cpu: { shares: 1024, quota: 12_345, period: 100_000, cpus: "0-2,9", mems: "0" },
    pids: { limit: -1 },
    blockIO: { weight: 300 },
  };
  assert.deepEqual(found(resourceProperties(resources, { unified: false, version: 252 })), {
    MemoryLimit: 100n,
    CPUShares: 1024n,
    CPUQuotaPeriodUSec: 100_000n,
    CPUQuotaPerSecUSec: 130_000n,
    BlockIOWeight: 300n,
    TasksMax: MAX,
  });
  assert.deepEqual(found(resourceProperties(resources, { unified: true, version: 252 })), {
    MemoryMax: 100n,
    MemoryLow: 50n,
    MemorySwapMax: 50n,
    CPUWeight: 100n,
    AllowedCPUs: [7, 2],
    AllowedMemoryNodes: [1],
    CPUQuotaPeriodUSec: 100_000n,
    CPUQuotaPerSecUSec: 130_000n,
    IOWeight: 2300n,
    TasksMax: MAX,
  });
  // Old versions lack some properties.
  const old = found(
    resourceProperties({ cpu: { ...resources.cpu, idle: 1 } }, { unified: true, version: 240 }),
  );
  assert.deepEqual(old, { CPUQuotaPerSecUSec: 130_000n });
  assert.deepEqual(
    found(
      resourceProperties(
        { cpu: { shares: 5, idle: 1 }, pids: { limit: 0 } },
        { unified: true, version: 252 },
      ),
    ),
    {
      CPUWeight: 0n,
      TasksMax: 1n,
    },
  );
  const unified = {
    "cpu.max": "max 50000",
    "memory.high": "7",
    "pids.max": "max",
    "cpuset.cpus": "1",
    "hugetlb.2MB.max": "1",
  };
  assert.deepEqual(found(resourceProperties({ unified }, { unified: true, version: 252 })), {
    CPUQuotaPeriodUSec: 50_000n,
    CPUQuotaPerSecUSec: MAX,
    MemoryHigh: 7n,
    TasksMax: MAX,
    AllowedCPUs: [2],
  });
  assert.throws(
    () => resourceProperties({ unified: { "memory.max": "lots" } }, { unified: true, version: 252 }),
    /memory.max: found "lots"/,
  );
  assert.throws(() => cpusetBits("3-1"), /cpuset/);
  assert.throws(() => cpusetBits("0-99999"), /cpuset/);
});

test("device rules become systemd's DeviceAllow", () => {
  const groups = parseDeviceGroups("Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n  8 sd\n");
  const rules = [
    { allow: false, access: "rwm" },
    { allow: true, type: "b" as const, major: 8, access: "rm" },
    { allow: true, type: "c" as const, major: 10, minor: 200, access: "rw" },
    { allow: false, type: "c" as const, major: 10, minor: 200, access: "w" },
  ];
  const properties = found(deviceProperties(rules, groups));
  assert.equal(properties.DevicePolicy, "strict");
  const list = properties.DeviceAllow as string[][];
  for (const [name, access] of [
    ["block-sd", "rm"],
    ["/dev/char/10:200", "r"],
    ["char-pts", "rwm"],
    ["char-*", "m"],
  ])
    assert.ok(
      list.some((e) => e[0] === name && e[1] === access),
      `${name} ${access}`,
    );
  assert.deepEqual(found(deviceProperties([{ allow: true, access: "rwm" }], groups)), {
    DevicePolicy: "auto",
    DeviceAllow: [],
  });
  assert.deepEqual(deviceProperties(undefined, groups), []);
});

test("annotations set properties in GVariant's text format", () => {
  const parsed = (text: string) => parseGVariant(text);
  assert.deepEqual(parsed("true"), { signature: "b", value: true });
  assert.deepEqual(parsed("-5"), { signature: "i", value: -5 });
  assert.deepEqual(parsed("uint64 123456789"), { signature: "t", value: 123456789n });
  assert.deepEqual(parsed("1.5"), { signature: "d", value: 1.5 });
  assert.deepEqual(parsed("'it\\'s'"), { signature: "s", value: "it's" });
  assert.deepEqual(parsed('["a", "b"]'), { signature: "as", value: ["a", "b"] });
  assert.deepEqual(parsed("@as []"), { signature: "as", value: [] });
  for (const bad of [
    "",
    "text",
    "[",
    "[]",
    "['a', 1]",
    "3 4",
    "byte 256",
    "uint32 -1",
    "'open",
    "boolean 5",
    "@as ['a'",
    "99999999999",
  ])
    assert.throws(() => parsed(bad), /expected a GVariant/, bad);
  assert.deepEqual(
    found(
      annotatedProperties({
        "org.systemd.property.TimeoutStopSec": "2",
        "org.systemd.property.CollectMode": "'inactive'",
        other: "x",
      }),
    ),
    { TimeoutStopUSec: 2_000_000n, CollectMode: "inactive" },
  );
  assert.throws(() => annotatedProperties({ "org.systemd.property.x-y": "1" }), /expected a unit's property/);
  assert.throws(
    () => annotatedProperties({ "org.systemd.property.TimeoutSec": "'a'" }),
    /a number of seconds/,
  );
});

test("a scope has an initial process, a slice has none", () => {
  const at = { id: "c", pid: 5, unified: true, version: 252, deviceGroups: new Map<string, string>() };
  const scope = found(
    unitProperties({ ociVersion: "1.3.0" }, { ...at, name: { unit: "x.scope", slice: "a.slice" } }),
  );
  assert.deepEqual(
    [scope.Slice, scope.PIDs, scope.Delegate, scope.DefaultDependencies, scope.IOAccounting],
    ["a.slice", [5], true, false, true],
  );
  const slice = found(
    unitProperties({ ociVersion: "1.3.0" }, { ...at, name: { unit: "a-x.slice", slice: "a.slice" } }),
  );
  assert.deepEqual([slice.Wants, slice.PIDs, slice.Delegate], [["a.slice"], undefined, undefined]);
});
