import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import test from "node:test";
import { parseReference } from "@berth/oci";
import { digestOf } from "../../base/core/digest.ts";
import { EventBus } from "../../base/events/event-bus.ts";
import { Database } from "../../base/store/database.ts";
import { ContentStore } from "../../objects/content/content-store.ts";
import { fakeServer, type Handler } from "./fake-server.ts";
import { Fetcher } from "./fetch.ts";
import { type Capability, type RegistryHost, registryItself } from "./hosts.ts";
import { Repository } from "./repository.ts";

const data = Buffer.from("data");
const blob = { mediaType: "application/octet-stream", digest: digestOf(data), size: data.length };
const type = "application/vnd.oci.image.manifest.v1+json";

function mirror(name: string, ...capabilities: Capability[]): RegistryHost {
  const host = registryItself(name, { plainHttp: true });
  return { ...host, mirror: true, headers: { "x-mirror": "m" }, capabilities: new Set(capabilities) };
}

const serve: Handler = (request, response) => {
  if (request.url!.includes("/manifests/"))
    response.writeHead(200, {
      "content-type": type,
      "docker-content-digest": blob.digest,
      "content-length": 4,
    });
  response.end(request.method === "HEAD" ? undefined : data);
};
const missing: Handler = (_request, response) => response.writeHead(404).end();

function repositoryOf(name: string, mirrors: RegistryHost[]) {
  const asked: string[] = [];
  const repository = new Repository({
    reference: parseReference(`${name}/a/b:t`),
    hosts: [...mirrors, registryItself(name, { plainHttp: true })],
    headers: { "X-Own": "o" },
    ask: async (host) => {
      asked.push(host);
      return { kind: "password", username: host, secret: "s" };
    },
  });
  return { repository, asked };
}

const read = ({ body }: { body: Readable }) => text(body);

test("mirrors are asked first, each for what it can, with the registry's name", async (t) => {
  const [first, second, home] = [
    await fakeServer(t, missing),
    await fakeServer(t, serve),
    await fakeServer(t, serve),
  ];
  const { repository } = repositoryOf(home.host, [
    mirror("127.0.0.1:1", "pull", "resolve"),
    mirror(first.host, "pull"),
    mirror(second.host, "pull"),
  ]);
  assert.equal((await repository.resolve()).digest, blob.digest);
  assert.deepEqual(
    home.seen.map(({ url, headers }) => [url, headers["x-own"], headers["x-mirror"]]),
    [["/v2/a/b/manifests/t", "o", undefined]],
    "a mirror without the capability is not asked for a tag",
  );
  assert.equal(await read(await repository.blob(blob, 0)), "data");
  const asMirror = [`/v2/a/b/blobs/${blob.digest}?ns=${encodeURIComponent(home.host)}`, undefined, "m"];
  for (const { seen } of [first, second])
    assert.deepEqual(
      seen.map(({ url, headers }) => [url, headers["x-own"], headers["x-mirror"]]),
      [asMirror],
    );
  assert.equal(home.seen.length, 1);
});

test("credentials are asked for by the host that wants them", async (t) => {
  const needs: Handler = (request, response) => {
    if (request.headers.authorization !== undefined) return serve(request, response);
    response.writeHead(401, { "www-authenticate": "Basic realm=x" }).end();
  };
  const [first, home] = [await fakeServer(t, needs), await fakeServer(t, needs)];
  const { repository, asked } = repositoryOf(home.host, [mirror(first.host, "pull")]);
  await repository.resolve();
  await read(await repository.blob(blob, 0));
  assert.deepEqual(asked, [home.host, first.host]);
  const sent = Buffer.from(first.seen.at(-1)!.headers.authorization!.split(" ")[1]!, "base64").toString();
  assert.equal(sent, `${first.host}:s`);
});

test("when no host has it, the error names each with its reason; the last one's code counts", async (t) => {
  const [first, home] = [
    await fakeServer(t, (_, response) => response.writeHead(500).end()),
    await fakeServer(t, missing),
  ];
  const { repository } = repositoryOf(home.host, [mirror("127.0.0.1:1", "pull"), mirror(first.host, "pull")]);
  const before = Date.now();
  await assert.rejects(repository.blob(blob, 0), {
    code: "not_found",
    message: new RegExp(
      `no host of ${home.host} gave it: cannot reach registry 127.0.0.1:1: .*ECONNREFUSED.*; ` +
        `registry ${first.host} answered 500 for blob .*; registry ${home.host} answered 404`,
    ),
  });
  assert.equal(first.seen.length, 1, "another host is asked before this one a second time");
  assert.ok(Date.now() - before < 5000);
});

test("a mirror's wrong contents are not taken", async (t) => {
  const [first, home] = [
    await fakeServer(t, (_, response) => response.end("evil")),
    await fakeServer(t, serve),
  ];
  const { repository } = repositoryOf(home.host, [mirror(first.host, "pull")]);
  const found = await repository.manifest({ ...blob, mediaType: type });
  assert.equal(found.toString(), "data");
});

test("a push goes to the first host that may be pushed to, and nowhere without one", async (t) => {
  const [first, home] = [
    await fakeServer(t, missing),
    await fakeServer(t, (_, response) => response.writeHead(201).end()),
  ];
  const { repository } = repositoryOf(home.host, [mirror(first.host, "pull", "resolve")]);
  await repository.pushManifest(blob, data, "t");
  assert.deepEqual([first.seen.length, home.seen.length], [0, 1]);
  const none = new Repository({
    reference: parseReference(`${home.host}/a:t`),
    hosts: [mirror(first.host, "pull")],
    ask: async () => undefined,
  });
  await assert.rejects(none.pushManifest(blob, data, "t"), /no host of .* has the capability "push"/);
});

test("a blob that breaks off, or is another, is fetched from the next host", async (t) => {
  const half: Handler = (_request, response) => {
    response.writeHead(200, { "content-length": data.length });
    response.write(data.subarray(0, 2), () => response.destroy());
  };
  const wrong: Handler = (_request, response) => response.end("evil");
  for (const handler of [half, wrong]) {
    const [first, home] = [await fakeServer(t, handler), await fakeServer(t, serve)];
    const { repository } = repositoryOf(home.host, [mirror(first.host, "pull")]);
    const folder = mkdtempSync(join(tmpdir(), "berth-mirrors-"));
    const db = new Database(":memory:");
    t.after(() => {
      db.close();
      rmSync(folder, { recursive: true });
    });
    const content = new ContentStore(db, new EventBus(), folder);
    const scope = { namespace: "n", lease: undefined };
    await new Fetcher(content).fetch(scope, repository, blob, { ref: "r", labels: {} });
    assert.equal(content.readAll("n", blob.digest).toString(), "data");
    assert.deepEqual([first.seen.length, home.seen.length], [1, 1]);
  }
});
