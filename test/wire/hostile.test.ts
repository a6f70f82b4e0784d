/**
 * Every method of berthd with missing, empty, long and hostile fields, made from the schemas: the answer is a code that names
 * the client's mistake, nothing crashes, and nothing is made outside of the daemon's folders.
 */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import * as api from "@berth/api";
import { BerthError } from "@berth/base";
import { type Connection, connect } from "@berth/grpc";
import {
  create,
  type DescField,
  type DescMessage,
  type DescMethod,
  type DescService,
} from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { Folder, startBerthd } from "../support/daemons.ts";

/** Codes of a client's mistake, or of what this host cannot do. */
const EXPECTED: ReadonlySet<string> = new Set([
  "invalid_argument",
  "not_found",
  "already_exists",
  "failed_precondition",
  "permission_denied",
  "out_of_range",
  "unimplemented",
  "resource_exhausted",
  "unavailable",
  "deadline_exceeded",
  "canceled",
]);
/** Answers take this long at most; a stream that has not ended is cancelled. */
const CALL_MS = 2000;
const RUNS = Number(process.env.BERTH_TEST_RUNS ?? 12);
const SEED = Number(process.env.BERTH_TEST_SEED ?? Date.now() % 1_000_000);

/** Methods that are meant to change what is not the daemon's, or to reach other machines. */
const LEFT_OUT = ["berth.v1.Doctor.Examine", "containerd.services.transfer.v1.Transfer.Transfer"];

/** Nothing that exists, so that no accident can happen. */
const hostileText = fc.constantFrom(
  "",
  "a",
  "default",
  "../../../tmp/berth-escape",
  "/nonexistent/berth/x",
  "..",
  "a/b",
  "a\0b",
  "\n",
  "ü".repeat(300),
  "x".repeat(70_000),
  "sha256:zz",
  `sha256:${"0".repeat(64)}`,
  "native",
  "overlayfs",
  "-1",
  'labels."',
  "name~=(((a+)+)+)+$",
  "containerd.io/gc.root",
);

function scalar(field: DescField): fc.Arbitrary<unknown> {
  // Protobuf's scalar types by number.
  switch (field.scalar) {
    case 9:
      return hostileText;
    case 8:
      return fc.boolean();
    case 12:
      return fc.constantFrom(
        new Uint8Array(),
        Buffer.from("{}"),
        Buffer.from("\xff\0"),
        Buffer.alloc(70_000, 65),
      );
    case 1:
    case 2:
      return fc.constantFrom(0, -1, Number.NaN, Number.MAX_VALUE);
    case 4:
    case 6:
      return fc.constantFrom(0n, 1n, (1n << 64n) - 1n);
    case 3:
    case 16:
    case 18:
      return fc.constantFrom(0n, -1n, (1n << 63n) - 1n, -(1n << 63n));
    case 13:
    case 7:
      return fc.constantFrom(0, 1, 0xffff_ffff);
    default:
      return fc.constantFrom(0, -1, 0x7fff_ffff, -0x8000_0000);
  }
}

function fieldOf(field: DescField, depth: number): fc.Arbitrary<unknown> {
  const one = (message: DescMessage | undefined) =>
    message === undefined ? scalar(field) : messageOf(message, depth + 1);
  switch (field.fieldKind) {
    case "list":
      return fc.array(field.enum ? fc.constantFrom(0, 99) : one(field.message), { maxLength: 3 });
    case "map":
      return fc.dictionary(hostileText, field.message ? messageOf(field.message, depth + 1) : scalar(field), {
        maxKeys: 3,
      });
    case "enum":
      return fc.constantFrom(0, 1, 99, -5);
    case "message":
      return one(field.message);
    default:
      return scalar(field);
  }
}

/** Messages of a type, with any of their fields missing. */
function messageOf(desc: DescMessage, depth = 0): fc.Arbitrary<object> {
  if (desc.typeName === AnySchema.typeName)
    return fc.record({
      typeUrl: fc.oneof(
        hostileText,
        fc.constantFrom(
          "types.containerd.io/opencontainers/runtime-spec/1/Spec",
          "containerd.runc.v1.Options",
          "types.berth/none",
        ),
      ),
      value: fc.constantFrom(new Uint8Array(), Buffer.from("{}"), Buffer.from("[1"), Buffer.from("\xff\xff")),
    });
  // Its own checks would refuse what is out of range before it is sent.
  if (desc.typeName.startsWith("google.protobuf.") && desc.typeName !== "google.protobuf.FieldMask")
    return fc.constant({});
  if (depth > 3) return fc.constant({});
  const fields = desc.fields.filter((field) => field.oneof === undefined);
  return fc.record(Object.fromEntries(fields.map((field) => [field.localName, fieldOf(field, depth)])), {
    requiredKeys: [],
  });
}

const services = Object.values(api)
  .flatMap((module) => Object.values(module) as { kind?: string }[])
  .filter((desc): desc is DescService => desc?.kind === "service")
  .filter(({ typeName }) => /^(containerd\.services|berth|grpc\.health)\./.test(typeName))
  .filter(({ typeName }) => !typeName.includes(".ttrpc."));

/** Calls a method; returns the code of its failure, or undefined. */
async function call(connection: Connection, method: DescMethod, request: object, namespace: string) {
  const client = connection.client(method.parent) as never as Record<
    string,
    (r: unknown, o: object) => Promise<unknown> & AsyncIterable<unknown>
  >;
  const options = { timeoutMs: CALL_MS, headers: { "containerd-namespace": namespace } };
  const takesStream = method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming";
  const stream = async function* () {
    yield request;
    yield request;
  };
  try {
    const answer = client[method.localName]!(takesStream ? stream() : request, options);
    if (method.methodKind === "unary" || method.methodKind === "client_streaming") await answer;
    else for await (const _ of answer);
    return undefined;
  } catch (error) {
    return BerthError.from(error);
  }
}

async function serving(t: TestContext) {
  const folder = new Folder();
  const beside = join(folder.path, "beside");
  mkdirSync(beside);
  writeFileSync(join(beside, "file"), "untouched");
  const berthd = await startBerthd(folder.path);
  const connection = connect({ path: berthd.socket });
  t.after(async () => {
    connection.close();
    await berthd.stop();
    await folder.remove();
  });
  return { connection, folder };
}

test("hostile requests are refused with a code that says whose mistake it is", async (t) => {
  const { connection, folder } = await serving(t);
  const outside = () => [
    readdirSync(folder.path).sort(),
    readdirSync("/tmp").filter((n) => n === "berth-escape"),
  ];
  const before = outside();
  assert.ok(services.length >= 18, services.map(({ typeName }) => typeName).join(" "));
  const problems: string[] = [];
  for (const service of services)
    for (const method of service.methods) {
      const name = `${service.typeName}.${method.name}`;
      if (LEFT_OUT.includes(name)) continue;
      for (const request of [{}, ...fc.sample(messageOf(method.input), { numRuns: RUNS, seed: SEED })]) {
        const error = await call(connection, method, create(method.input, request as never), "hostile");
        if (error === undefined || (EXPECTED.has(error.code) && error.message !== "")) continue;
        problems.push(`${name}: ${error.code}: ${error.message.slice(0, 300)}`);
      }
    }
  assert.deepEqual(problems, [], `seed ${SEED}`);
  const { version } = await connection.client(api.version.Version).version({});
  assert.match(version, /berth/, "it still answers");
  assert.deepEqual(outside(), before, "nothing was made elsewhere");
});

test("a namespace that is missing or none is refused by every method that needs one", async (t) => {
  const { connection } = await serving(t);
  for (const namespace of ["a/b", "..", "x".repeat(200), "ü", "a b"])
    for (const method of [
      api.containers.Containers.method.list,
      api.snapshots.Snapshots.method.list,
      api.tasks.Tasks.method.list,
      api.leases.Leases.method.list,
    ]) {
      const error = await call(connection, method, create(method.input, {} as never), namespace);
      assert.ok(
        error !== undefined && ["invalid_argument", "failed_precondition"].includes(error.code),
        namespace,
      );
    }
});
