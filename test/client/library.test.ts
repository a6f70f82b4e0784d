/** The client library against a small daemon of the test, over a real socket. (berth's server runs on Node only.) */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import * as contentApi from "@berth/api/content";
import * as imagesApi from "@berth/api/images";
import * as streamingApi from "@berth/api/streaming";
import * as transferApi from "@berth/api/transfer";
import * as transferTypes from "@berth/api/transferTypes";
import { BerthError } from "@berth/base";
import { connect, pack, socketPath, unpack } from "@berth/client";
import { type RunningServer, serve } from "@berth/grpc";
import { chainIds, MEDIA_TYPES } from "@berth/oci";
import { service } from "@berth/rpc";
import type { Any } from "@bufbuild/protobuf/wkt";

const blobs = new Map<string, string>();
const images = new Map<string, { name: string; digest: string }>();
const streams = new Map<string, { incoming: AsyncIterator<Any>; push: (message: Any | undefined) => void }>();
let loaded = "";

function put(value: unknown): { digest: string; size: bigint } {
  const text = JSON.stringify(value);
  const digest = `sha256:${blobs.size}`;
  blobs.set(digest, text);
  return { digest, size: BigInt(text.length) };
}

const asAny = (message: { typeUrl: string; value: Uint8Array }) => message as Any;

// A minimal daemon: images, content, and the stream protocol of transfers.
const fake = [
  service(contentApi.Content, {
    async *read({ digest }) {
      const text = blobs.get(digest);
      if (text === undefined) throw new BerthError("not_found", `content ${digest} not found`);
      yield { data: Buffer.from(text.slice(0, 3)) };
      yield { data: Buffer.from(text.slice(3)) };
    },
  }),
  service(imagesApi.Images, {
    list: () => ({
      images: [...images.values()].map(({ name, digest }) => ({
        name,
        target: { digest, mediaType: MEDIA_TYPES.index, size: 1n },
      })),
    }),
    get: ({ name }) => {
      const found = images.get(name);
      if (!found) throw new BerthError("not_found", `image ${name} not found`);
      return { image: { name, target: { digest: found.digest, mediaType: MEDIA_TYPES.index, size: 1n } } };
    },
  }),
  service(streamingApi.Streaming, {
    async *stream(requests) {
      const incoming = requests[Symbol.asyncIterator]();
      const init = unpack(streamingApi.StreamInitSchema, (await incoming.next()).value)!;
      const queue: (Any | undefined)[] = [];
      let wake = () => {};
      streams.set(init.id, {
        incoming,
        push: (message) => {
          queue.push(message);
          wake();
        },
      });
      yield asAny({ typeUrl: "google.protobuf.Empty", value: new Uint8Array() });
      for (;;) {
        while (queue.length === 0)
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        const message = queue.shift();
        if (message === undefined) return;
        yield message;
      }
    },
  }),
  service(transferApi.Transfer, {
    async transfer({ source, destination, options }) {
      const progress = options?.progressStream ? streams.get(options.progressStream) : undefined;
      const say = (event: string, name: string) =>
        progress?.push(asAny(pack(transferTypes.ProgressSchema, { event, name, progress: 5n, total: 9n })));
      const registry = unpack(transferTypes.OCIRegistrySchema, source);
      const store = unpack(transferTypes.ImageStoreSchema, destination);
      const archive = unpack(transferTypes.ImageImportStreamSchema, source);
      const out = unpack(transferTypes.ImageExportStreamSchema, destination);
      if (registry) {
        if (registry.reference.includes("missing")) throw new BerthError("not_found", "no such image");
        say("fetching", registry.reference);
        images.set(registry.reference, { name: registry.reference, digest: "sha256:0" });
      } else if (archive && store) {
        const stream = streams.get(archive.stream)!;
        for (;;) {
          stream.push(asAny(pack(transferTypes.WindowUpdateSchema, { update: 10 })));
          let got = 0;
          let ended = false;
          while (got < 10 && !ended) {
            const next = await stream.incoming.next();
            const data = next.done ? undefined : unpack(transferTypes.DataSchema, next.value)?.data;
            if (data === undefined) ended = true;
            else {
              assert.ok(data.length <= 10 - got, "the client overran its window");
              got += data.length;
              loaded += Buffer.from(data).toString();
            }
          }
          if (ended) break;
        }
        images.set("docker.io/library/loaded:1", { name: "docker.io/library/loaded:1", digest: "sha256:0" });
        say("saved", "docker.io/library/loaded:1");
      } else if (out) {
        const stream = streams.get(out.stream)!;
        await stream.incoming.next();
        for (const part of ["tar ", "bytes"])
          stream.push(asAny(pack(transferTypes.DataSchema, { data: Buffer.from(part) })));
        stream.push(undefined);
      }
      progress?.push(undefined);
      return {};
    },
  }),
];

let folder = "";
let server: RunningServer;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), "berth-client-"));
  server = await serve({ path: join(folder, "s.sock"), services: fake });
});
after(async () => {
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});
const client = () => connect({ address: `unix://${join(folder, "s.sock")}` });

test("pulls report progress and return the image; errors keep their code", async () => {
  await using berth = client();
  const steps: string[] = [];
  const image = await berth.images.pull("docker.io/library/a:latest", {
    onProgress: (step) => steps.push(`${step.event} ${step.progress}/${step.total}`),
  });
  assert.equal(image.name, "docker.io/library/a:latest");
  assert.deepEqual(steps, ["fetching 5/9"]);
  await assert.rejects(berth.images.pull("docker.io/library/missing:1"), { code: "not_found" });
});

test("loads stay within the daemon's window", async () => {
  await using berth = client();
  async function* archive() {
    yield Buffer.from("the first chunk is longer than a window");
    yield Buffer.from("; the second is not");
  }
  const images = await berth.images.load(archive());
  assert.deepEqual(
    images.map((image) => image.name),
    ["docker.io/library/loaded:1"],
  );
  assert.equal(loaded, "the first chunk is longer than a window; the second is not");
});

test("saves yield the archive", async () => {
  await using berth = client();
  let text = "";
  for await (const chunk of berth.images.save(["docker.io/library/loaded:1"]))
    text += Buffer.from(chunk).toString();
  assert.equal(text, "tar bytes");
});

test("an image resolves to the documents of one platform", async () => {
  await using berth = client();
  const config = put({
    architecture: "arm64",
    os: "linux",
    rootfs: { type: "layers", diff_ids: ["sha256:a", "sha256:b"] },
  });
  const manifest = put({ schemaVersion: 2, config: { digest: config.digest }, layers: [] });
  const index = put({
    schemaVersion: 2,
    manifests: [
      {
        digest: "sha256:x",
        mediaType: MEDIA_TYPES.manifest,
        platform: { os: "linux", architecture: "mips" },
      },
      {
        digest: manifest.digest,
        mediaType: MEDIA_TYPES.manifest,
        platform: { os: "linux", architecture: "arm64" },
      },
    ],
  });
  images.set("multi", { name: "multi", digest: index.digest });
  const image = await berth.images.get("multi");
  const resolved = await berth.images.resolve(image, { os: "linux", architecture: "arm64" });
  assert.equal(resolved.configDigest, config.digest);
  assert.equal(
    resolved.chainId,
    chainIds(
      ["sha256:a", "sha256:b"],
      (text) => `sha256:${createHash("sha256").update(text).digest("hex")}`,
    ).at(-1),
  );
  await assert.rejects(
    berth.images.resolve(image, { os: "linux", architecture: "vax" }),
    /no variant for linux\/vax/,
  );
});

test("addresses", () => {
  assert.equal(socketPath("unix:///a/b"), "/a/b");
  assert.equal(socketPath("/a/b"), "/a/b");
  assert.throws(() => socketPath("tcp://x"), /expected unix/);
});
