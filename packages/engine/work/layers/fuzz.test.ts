/** Hostile input: any bytes must result in an error with a message, and nothing else. */
import assert from "node:assert/strict";
import test from "node:test";
import { BerthError, isCode } from "@berth/base";
import { parseManifest, parseReference } from "@berth/oci";
import fc from "fast-check";
import { compileFilters, fieldsOf } from "../../base/filters/index.ts";
import { parseChallenges } from "../registry/auth.ts";
import { stepsOf } from "./apply.ts";
import { TarParser } from "./tar.ts";
import { tarHeader } from "./tar-writer.ts";

/** Runs `work`; only a BerthError may come out. */
function survives(work: () => void): void {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof BerthError, `${error}`);
    assert.notEqual(error.code, "internal");
  }
}

const sink = { entry: () => {}, data: () => {}, end: () => {} };

test("tar: any bytes, and headers with any byte changed", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2048 }), fc.nat(600), (bytes, cut) => {
      survives(() => {
        const parser = new TarParser(sink);
        parser.push(bytes.subarray(0, cut));
        parser.push(bytes.subarray(cut));
        parser.finish();
      });
    }),
  );
  const entry = fc.record({
    name: fc.string({ maxLength: 300 }),
    type: fc.constantFrom("0", "1", "2", "3", "5", "6", "7", "x", "g", "L", "K", "S"),
    size: fc.nat(5000),
    linkname: fc.string({ maxLength: 200 }),
  });
  fc.assert(
    fc.property(entry, fc.nat(511), fc.nat(255), fc.boolean(), (file, at, value, repair) => {
      const bytes = Buffer.concat([tarHeader(file), Buffer.alloc(1024)]);
      bytes[at] = value;
      if (repair) {
        bytes.fill(0x20, 148, 156);
        const sum = bytes.subarray(0, 512).reduce((a, b) => a + b, 0);
        bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
      }
      survives(() => {
        const parser = new TarParser(sink);
        parser.push(bytes);
        parser.finish();
      });
    }),
  );
});

test("names never escape", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom("..", ".", "", "a", "b", "...")), (parts) => {
      survives(() => assert.ok(!stepsOf(parts.join("/")).some((s) => s === ".." || s === "." || s === "")));
    }),
  );
});

test("filters, references, challenges, manifests: any text", async () => {
  const text = fc.oneof(fc.string(), fc.stringMatching(/^[a-z."=~!,/ \\|@:-]{0,30}$/));
  fc.assert(
    fc.property(text, (value) => {
      survives(() => parseReference(value));
      survives(() => parseChallenges(value));
      survives(() => parseManifest(value, "d"));
    }),
  );
  const compile = async (value: string) => {
    try {
      (await compileFilters([value], () => fieldsOf({ name: "n" })))({});
    } catch (error) {
      assert.ok(isCode(error, "invalid_argument"), String(error));
    }
  };
  await fc.assert(fc.asyncProperty(text, compile));
  fc.assert(fc.property(fc.json(), (value) => survives(() => parseManifest(value, "d"))));
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      survives(() => parseManifest(JSON.stringify({ layers: value, config: value, manifests: value }), "d"));
      survives(() => parseManifest(JSON.stringify({ layers: [value], config: value }), "d"));
    }),
  );
});
