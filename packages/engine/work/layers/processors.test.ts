import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { type StreamProcessor, StreamProcessors } from "./processors.ts";

const of = (id: string, accepts: string, returns: string, ...args: string[]): StreamProcessor => ({
  id,
  accepts: [accepts],
  returns,
  path: "/bin/sh",
  args: ["-c", ...args],
  env: ["GREETING=hello"],
});

function setup(t: TestContext, ...all: StreamProcessor[]) {
  const folder = mkdtempSync(join(tmpdir(), "berth-processors-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "layer");
  writeFileSync(file, "abc\n".repeat(50_000));
  const processors = new StreamProcessors(all, join(folder, "processed"));
  const layer = (mediaType: string) => ({ mediaType, digest: "sha256:x", size: 1 });
  return {
    folder,
    processors,
    process: async (type: string, payloads = {}) => {
      const processed = await processors.process(file, layer(type), payloads);
      try {
        const text = readFileSync(processed.path, "utf8");
        assert.equal(processed.size, text.length);
        return text;
      } finally {
        processed.close();
      }
    },
    left: () => readdirSync(join(folder, "processed")),
  };
}

test("a layer goes through every program that takes what the last one gave", async (t) => {
  const { processors, process, left } = setup(
    t,
    of("upper", "a", "b", "tr a-z A-Z"),
    of("swap", "b", "c", "tr A X"),
    of("circle", "c", "a", "cat"),
  );
  assert.deepEqual(
    processors.chain("a").map(({ id }) => id),
    ["upper", "swap", "circle"],
    "none twice",
  );
  assert.deepEqual(processors.chain("tar"), []);
  assert.equal(await process("a"), "XBC\n".repeat(50_000));
  assert.deepEqual(left(), []);
});

test("programs get payloads on descriptor 3, and variables", async (t) => {
  const { process } = setup(t, of("key", "a", "b", 'cat >/dev/null; cat <&3; echo " $GREETING"'));
  assert.equal(
    await process("a", { key: Buffer.from("secret"), other: Buffer.from("no") }),
    "secret hello\n",
  );
});

test("a program that fails, or cannot be run, is named with what it says", async (t) => {
  const { process, left } = setup(
    t,
    of("bad", "a", "b", "echo wrong key >&2; exit 3"),
    of("after", "b", "c", "cat"),
    { ...of("none", "n", "c"), path: "/nonexistent/decoder" },
  );
  await assert.rejects(process("a"), {
    code: "failed_precondition",
    message: "stream processor bad: wrong key (exit code 3)",
  });
  await assert.rejects(process("n"), /stream processor none: it cannot be run: .*ENOENT/);
  assert.deepEqual(left(), []);
});
