import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { content as api } from "@berth/api";
import { isCode } from "@berth/base";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { now } from "../../base/core/time.ts";
import { EventBus } from "../../base/events/event-bus.ts";
import { Database } from "../../base/store/database.ts";
import { ContentStore } from "../../objects/content/content-store.ts";
import { writeContent } from "./content-write.ts";

const scope = { namespace: "n", lease: undefined };
const data = Buffer.from("some content");
const digest = `sha256:${createHash("sha256").update(data).digest("hex")}`;
const { STAT, WRITE, COMMIT } = api.WriteAction;

async function withStore(
  work: (store: ContentStore, folder: string) => Promise<void>,
  events = new EventBus(),
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "berth-content-"));
  const db = new Database(":memory:");
  try {
    await work(new ContentStore(db, events, folder), folder);
  } finally {
    db.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

type Request = MessageInitShape<typeof api.WriteContentRequestSchema>;

/** Sends requests on one Write stream; returns the responses. */
async function write(store: ContentStore, ...requests: Request[]) {
  const stream = async function* () {
    for (const request of requests) yield create(api.WriteContentRequestSchema, request);
  };
  const out: { offset: bigint; digest: string }[] = [];
  for await (const answer of writeContent(store, scope, stream()))
    out.push({ offset: BigInt(answer.offset ?? 0), digest: answer.digest ?? "" });
  return out;
}

test("stat, write, commit on one stream", async () => {
  await withStore(async (store, folder) => {
    const answers = await write(
      store,
      { action: STAT, ref: "r", total: 12n, expected: digest },
      { action: WRITE, offset: 0n, data: data.subarray(0, 5) },
      { action: COMMIT, offset: 5n, data: data.subarray(5), labels: { a: "b" } },
    );
    assert.deepEqual(
      answers.map((a) => a.offset),
      [0n, 5n, 12n],
    );
    assert.equal(answers[2]!.digest, digest);
    assert.deepEqual(store.info("n", digest).labels, { a: "b" });
    assert.deepEqual(readdirSync(join(folder, "ingest")), []);
    await assert.rejects(write(store, { action: STAT, ref: "again", expected: digest }), (e) =>
      isCode(e, "already_exists"),
    );
  });
});

test("every answer has the digest so far; a blob may have another algorithm's", async () => {
  await withStore(async (store) => {
    const before = now();
    const sha = (algorithm: string, of: Buffer) =>
      `${algorithm}:${createHash(algorithm).update(of).digest("hex")}`;
    const first = data.subarray(0, 5);
    const [written] = await write(store, { action: WRITE, ref: "r", data: first });
    assert.equal(written!.digest, sha("sha256", first));
    const { updated, started } = store.status("n", "r");
    assert.ok(updated >= before - 10_000_000n && BigInt(started) >= before);
    const expected = sha("sha512", data);
    const rest = { offset: 5n, data: data.subarray(5), expected };
    const [committed] = await write(store, { action: COMMIT, ref: "r", ...rest });
    assert.equal(committed!.digest, expected);
    assert.equal(store.readAll("n", expected).toString(), "some content");
    await assert.rejects(
      write(store, { action: COMMIT, ref: "x", data, expected: sha("sha512", first) }),
      /unexpected commit digest sha512:/,
    );
    const open = await store.openWriter(scope, { ref: "open" });
    const start = now();
    open.write(data);
    assert.ok(store.status("n", "open").updated >= start);
    open.close();
    const again = await store.openWriter(scope, { ref: "open" });
    assert.ok(again.updated >= start && again.updated <= now() + 2_000n, "the next writer knows the time");
    again.close();
  });
});

test("a new blob is announced", async () => {
  const events = new EventBus();
  const topics: string[] = [];
  events.listen(({ envelope }) => topics.push(envelope.topic));
  await withStore(async (store) => {
    await store.put(scope, digest, data);
    await store.put(scope, digest, data);
    events.flush();
    assert.deepEqual(topics, ["/content/create"]);
  }, events);
});

test("a second stream resumes where the first one stopped", async () => {
  await withStore(async (store) => {
    await write(store, { action: WRITE, ref: "r", total: 12n, data: data.subarray(0, 7) });
    assert.equal(store.status("n", "r").offset, 7);
    const [stat, done] = await write(
      store,
      { action: STAT, ref: "r" },
      { action: COMMIT, offset: 7n, data: data.subarray(7), total: 12n, expected: digest },
    );
    assert.equal(stat!.offset, 7n);
    assert.equal(done!.digest, digest);
  });
});

test("errors: wrong offset, wrong size, wrong digest, no reference, locked", async () => {
  await withStore(async (store) => {
    await assert.rejects(write(store, { action: STAT }), /must have a reference/);
    await assert.rejects(write(store, { action: WRITE, ref: "o", offset: 3n, data }), (e) =>
      isCode(e, "out_of_range"),
    );
    await assert.rejects(
      write(store, { action: COMMIT, ref: "s", data, total: 13n }),
      /unexpected commit size 12, expected 13/,
    );
    assert.equal(store.status("n", "s").offset, 12);
    const wrong = `sha256:${"0".repeat(64)}`;
    await assert.rejects(
      write(store, { action: COMMIT, ref: "d", data, expected: wrong }),
      /unexpected commit digest/,
    );
    assert.equal(store.status("n", "d").offset, 12, "the client decides whether to abort it");
    store.abort("n", "d");
    const file = store.openWriter(scope, { ref: "d" });
    (await file).write(data);
    await assert.rejects((await file).commit(12, wrong, {}), /unexpected commit digest/);
    assert.throws(() => store.status("n", "d"), /reference d: not found/, "the daemon's own are discarded");
    const open = await store.openWriter(scope, { ref: "l" });
    await assert.rejects(write(store, { action: STAT, ref: "l" }), (e) => isCode(e, "unavailable"));
    open.close();
    await write(store, { action: STAT, ref: "l" });
    await assert.rejects(
      write(store, { action: STAT, ref: "t", total: 2n ** 53n }),
      /total: found 9007199254740992, expected a number of bytes from 0/,
    );
    assert.throws(() => store.info("n", "sha256:1"), /not valid/);
    assert.throws(() => store.info("n", wrong), /not found/);
  });
});

test("ranges", async () => {
  await withStore(async (store) => {
    await store.put(scope, digest, data);
    const read = async (offset: number, size: number) => {
      const parts: Buffer[] = [];
      for await (const part of store.read("n", digest, offset, size, 4)) parts.push(part);
      return Buffer.concat(parts).toString();
    };
    assert.equal(await read(0, 0), "some content");
    assert.equal(await read(5, 3), "con");
    assert.equal(await read(12, 0), "");
    await assert.rejects(read(13, 0), (e) => isCode(e, "out_of_range"));
  });
});
