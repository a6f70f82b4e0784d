import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { DescField, DescFile, DescMessage } from "@bufbuild/protobuf";
import * as real from "@bufbuild/protobuf";
import fc from "fast-check";
import { enumDesc, fileDesc, serviceDesc, tsEnum } from "./codegen.ts";
import type { LiteFile, LiteMessage } from "./descriptors.ts";
import * as lite from "./messages.ts";
import * as wkt from "./wkt.ts";

const GEN = join(import.meta.dirname, "../api/gen");
const modules = globSync("**/*_pb.js", { cwd: GEN });

// The same embedded descriptors, read by both. Imports are found by the names that generated modules give them.
const liteFiles = new Map<string, LiteFile>(
  Object.entries(wkt).filter(([name]) => name.startsWith("file_")) as [string, LiteFile][],
);
function liteFile(name: string): LiteFile {
  const known = liteFiles.get(name);
  if (known) return known;
  for (const path of modules) {
    const text = readFileSync(join(GEN, path), "utf8");
    const made = new RegExp(
      `export const ${name} =[\\s\\S]*?fileDesc\\("([^"]*)"(?:, \\[([^\\]]*)\\])?\\)`,
    ).exec(text);
    if (!made) continue;
    const imports = (made[2] ?? "")
      .split(",")
      .map((word) => word.trim())
      .filter(Boolean);
    const file = fileDesc(made[1]!, imports.map(liteFile));
    liteFiles.set(name, file);
    return file;
  }
  throw new Error(`no generated file ${name}`);
}

async function realFiles(): Promise<[string, DescFile][]> {
  const found: [string, DescFile][] = [];
  for (const path of modules) {
    const module = (await import(join(GEN, path))) as Record<string, unknown>;
    for (const [name, value] of Object.entries(module))
      if (name.startsWith("file_")) found.push([name, value as DescFile]);
  }
  return found;
}

const allMessages = (messages: readonly DescMessage[]): DescMessage[] =>
  messages.flatMap((message) => [message, ...allMessages(message.nestedMessages)]);

// Any message of a type, as an init object.
function arbitrary(desc: DescMessage, depth: number): fc.Arbitrary<Record<string, unknown>> {
  const fields: Record<string, fc.Arbitrary<unknown>> = {};
  for (const field of desc.fields) {
    const value = fieldArbitrary(field, depth);
    if (value) fields[field.localName] = value;
  }
  return fc.record(fields, { requiredKeys: [] });
}

function scalar(type: real.ScalarType | undefined): fc.Arbitrary<unknown> {
  switch (type) {
    case 9:
      return fc.oneof(fc.constant(""), fc.string({ unit: "grapheme" }));
    case 8:
      return fc.boolean();
    case 12:
      return fc.uint8Array({ maxLength: 300 });
    case 3:
      return fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    case 4:
      return fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    case 13:
      return fc.nat({ max: 0xffffffff });
    case 1:
      return fc.double({ noNaN: true });
    default:
      return fc.integer();
  }
}

function fieldArbitrary(field: DescField, depth: number): fc.Arbitrary<unknown> | undefined {
  if (field.fieldKind === "scalar") return scalar(field.scalar);
  if (field.fieldKind === "enum") return fc.constantFrom(...field.enum.values.map((v) => v.number));
  if (depth === 0) return undefined;
  if (field.fieldKind === "message") return arbitrary(field.message, depth - 1);
  if (field.fieldKind === "map") {
    const inner =
      field.mapKind === "message"
        ? arbitrary(field.message, depth - 1)
        : scalar(field.mapKind === "scalar" ? field.scalar : undefined);
    // Names like "__proto__" are not used as labels, and integers would be reordered.
    return fc.dictionary(fc.stringMatching(/^[a-z][a-z./-]{0,20}$/), inner, { maxKeys: 4 });
  }
  const list = field as DescField & { fieldKind: "list" };
  if (list.listKind === "message") return fc.array(arbitrary(list.message, depth - 1), { maxLength: 3 });
  if (list.listKind === "enum")
    return fc.array(fc.constantFrom(...list.enum.values.map((v) => v.number)), { maxLength: 3 });
  return fc.array(scalar(list.scalar), { maxLength: 4 });
}

test("every message of the API is encoded and decoded as the library does", async () => {
  let checked = 0;
  for (const [name, file] of await realFiles()) {
    const mine = liteFile(name);
    for (const desc of allMessages(file.messages)) {
      const own: LiteMessage = mine.resolve(desc.typeName);
      assert.deepEqual(
        own.fields.map((f) => [f.number, f.localName]),
        [...desc.fields].sort((a, b) => a.number - b.number).map((f) => [f.number, f.localName]),
        desc.typeName,
      );
      fc.assert(
        fc.property(arbitrary(desc, 2), (init) => {
          const bytes = real.toBinary(desc, real.create(desc, init));
          assert.deepEqual(
            Buffer.from(lite.toBinary(own, lite.create(own, init))),
            Buffer.from(bytes),
            desc.typeName,
          );
          // Decoded by one, encoded by the other: nothing may be lost.
          const read = lite.fromBinary(own, bytes);
          assert.deepEqual(plain(read), plain(real.fromBinary(desc, bytes)), desc.typeName);
        }),
        { numRuns: 15 },
      );
      checked++;
    }
  }
  assert.ok(checked > 100, `${checked} messages`);
});

// Without the library's bookkeeping; byte views as buffers.
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([key, each]) => key !== "$unknown" && each !== undefined);
  return Object.fromEntries(entries.map(([key, each]) => [key, plain(each)]).sort());
}

test("services have the same methods", async () => {
  for (const [name, file] of await realFiles())
    file.services.forEach((service, i) => {
      const own = serviceDesc(liteFile(name), i);
      assert.equal(own.typeName, service.typeName);
      const facts = (
        methods: readonly {
          name: string;
          localName: string;
          methodKind: string;
          input: { typeName: string };
          output: { typeName: string };
        }[],
      ) => methods.map((m) => [m.name, m.localName, m.methodKind, m.input.typeName, m.output.typeName]);
      assert.deepEqual(facts(own.methods), facts(service.methods));
      assert.deepEqual(Object.keys(own.method), Object.keys(service.method));
    });
});

test("fields have the same names and kinds", async () => {
  for (const [name, file] of await realFiles())
    file.messages.forEach((desc, i) => {
      const facts = (
        fields: readonly { name: string; localName: string; fieldKind: string; number: number }[],
      ) =>
        fields
          .map((f) => [f.number, f.name, f.localName, f.fieldKind])
          .sort((a, b) => Number(a[0]) - Number(b[0]));
      assert.deepEqual(facts(liteFile(name).messages[i]!.fields), facts(desc.fields), desc.typeName);
    });
});

test("enums have the same names", async () => {
  for (const path of modules) {
    const module = (await import(join(GEN, path))) as Record<string, unknown>;
    const fileName = Object.keys(module).find((name) => name.startsWith("file_"))!;
    (module[fileName] as DescFile).enums.forEach((desc, i) => {
      const theirs = module[desc.name] as Record<string, unknown>;
      assert.deepEqual({ ...tsEnum(enumDesc(liteFile(fileName), i)) }, { ...theirs }, desc.typeName);
    });
  }
});

test("truncated messages and unknown fields", () => {
  const any = wkt.AnySchema;
  const bytes = lite.toBinary(any, lite.create(any, { typeUrl: "t", value: new Uint8Array([1, 2]) }));
  assert.throws(() => lite.fromBinary(any, bytes.subarray(0, bytes.length - 1)), RangeError);
  assert.throws(() => lite.fromBinary(any, new Uint8Array([0xff])), RangeError);
  const strange = Uint8Array.from([
    ...bytes,
    0x7a,
    1,
    9,
    0x80,
    1,
    5,
    0x8d,
    1,
    0,
    0,
    0,
    0,
    0x91,
    1,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
  ]);
  assert.equal(lite.fromBinary(any, strange).typeUrl, "t");
});
