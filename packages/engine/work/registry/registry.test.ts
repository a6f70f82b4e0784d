import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { isCode } from "@berth/base";
import { parseReference } from "@berth/oci";
import { EventBus } from "../../base/events/event-bus.ts";
import { Database } from "../../base/store/database.ts";
import { ContentStore } from "../../objects/content/content-store.ts";
import type { AskCredentials } from "./auth.ts";
import { Fetcher } from "./fetch.ts";
import { Repository } from "./repository.ts";

type Handler = (request: IncomingMessage, response: ServerResponse, host: string) => void;

const blob = Buffer.alloc(300_000, "0123456789");
const digest = `sha256:${createHash("sha256").update(blob).digest("hex")}`;
const descriptor = { mediaType: "application/vnd.oci.image.layer.v1.tar", digest, size: blob.length };
const scope = { namespace: "n", lease: undefined };

/** Runs `work` with a content store and a repository served by `handler`. */
async function withRegistry(
  handler: Handler,
  work: (parts: {
    repository: Repository;
    fetcher: Fetcher;
    content: ContentStore;
    folder: string;
  }) => Promise<void>,
  ask: AskCredentials = async () => undefined,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "berth-registry-"));
  let host = "";
  const server = createServer((request, response) => handler(request, response, host)).listen(0, "127.0.0.1");
  await once(server, "listening");
  host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const db = new Database(":memory:");
  try {
    const content = new ContentStore(db, new EventBus(), folder);
    const repository = new Repository({ reference: parseReference(`${host}/a/b:t`), ask });
    await work({ repository, content, folder, fetcher: new Fetcher(content) });
  } finally {
    db.close();
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

const fetchOptions = { ref: "r", labels: {} };

test("a download that is interrupted is resumed by range", async () => {
  const ranges: (string | undefined)[] = [];
  await withRegistry(
    (request, response) => {
      const { range } = request.headers;
      ranges.push(range);
      const from = Number(/bytes=(\d+)-/.exec(range ?? "")?.[1] ?? 0);
      const headers = {
        "content-length": blob.length - from,
        "content-range": `bytes ${from}-${blob.length - 1}/${blob.length}`,
      };
      response.writeHead(range === undefined ? 200 : 206, headers);
      if (ranges.length >= 3) response.end(blob.subarray(from));
      else response.write(blob.subarray(from, from + 100_000), () => response.destroy());
    },
    async ({ repository, fetcher, content }) => {
      let last = 0;
      const seen = { ...fetchOptions, onBytes: (n: number) => (last = n) };
      assert.equal(await fetcher.fetch(scope, repository, descriptor, seen), "fetched");
      assert.equal(last, blob.length);
      assert.deepEqual(content.readAll("n", digest), blob);
      assert.equal(await fetcher.fetch(scope, repository, descriptor, fetchOptions), "exists");
    },
  );
  assert.equal(ranges[0], undefined);
  assert.ok(ranges.slice(1).every((range) => /^bytes=[1-9]\d*-$/.test(range ?? "")));
});

test("a registry that ignores ranges sends everything again, and that is fine", async () => {
  let calls = 0;
  await withRegistry(
    (_request, response) => {
      response.writeHead(200, { "content-length": blob.length });
      if (++calls > 1) response.end(blob);
      else response.write(blob.subarray(0, 70_000), () => response.destroy());
    },
    async ({ repository, fetcher, content }) => {
      await fetcher.fetch(scope, repository, descriptor, fetchOptions);
      assert.deepEqual(content.readAll("n", digest), blob);
    },
  );
});

test("content that does not match its digest is refused and discarded", async () => {
  const wrong = Buffer.from(blob);
  wrong[5] = 0;
  await withRegistry(
    (_request, response) => response.end(wrong),
    async ({ repository, fetcher, content, folder }) => {
      await assert.rejects(
        fetcher.fetch(scope, repository, descriptor, fetchOptions),
        /unexpected commit digest/,
      );
      assert.equal(content.find("n", digest), undefined);
      assert.deepEqual(readdirSync(join(folder, "ingest")), []);
    },
  );
});

test("more bytes than announced are refused", async () => {
  await withRegistry(
    (_request, response) => response.end(Buffer.concat([blob, blob])),
    async ({ repository, fetcher }) => {
      await assert.rejects(
        fetcher.fetch(scope, repository, descriptor, fetchOptions),
        /more than the 300000 bytes/,
      );
    },
  );
});

test("concurrent pulls of a blob share one download", async () => {
  let calls = 0;
  await withRegistry(
    (_request, response) => {
      calls++;
      response.end(blob);
    },
    async ({ repository, fetcher }) => {
      await Promise.all(
        Array.from({ length: 5 }, () => fetcher.fetch(scope, repository, descriptor, fetchOptions)),
      );
    },
  );
  assert.equal(calls, 1);
});

test("tokens: the challenge is answered, with the user's password, once", async () => {
  const calls: string[] = [];
  const handler: Handler = (request, response, host) => {
    const url = new URL(request.url!, `http://${host}`);
    calls.push(url.pathname);
    if (url.pathname === "/token") {
      assert.equal(url.searchParams.get("service"), "s");
      assert.equal(url.searchParams.get("scope"), "repository:a/b:pull");
      const good = request.headers.authorization === `Basic ${Buffer.from("u:p").toString("base64")}`;
      response.writeHead(good ? 200 : 401).end(good ? '{"token":"T"}' : "{}");
    } else if (request.headers.authorization === "Bearer T") response.end(blob);
    else {
      const realm = `Bearer realm="http://${host}/token",service="s",scope="repository:a/b:pull"`;
      response.writeHead(401, { "www-authenticate": realm }).end();
    }
  };
  await withRegistry(
    handler,
    async ({ repository, fetcher }) => {
      await fetcher.fetch(scope, repository, descriptor, fetchOptions);
      assert.equal(await repository.hasBlob(digest), true);
    },
    async () => ({ kind: "password", username: "u", secret: "p" }),
  );
  assert.equal(calls.filter((path) => path === "/token").length, 1);
  await withRegistry(
    handler,
    async ({ repository, fetcher }) => {
      await assert.rejects(fetcher.fetch(scope, repository, descriptor, fetchOptions), (e) =>
        isCode(e, "unauthenticated"),
      );
    },
    async () => ({ kind: "password", username: "u", secret: "wrong" }),
  );
});

test("a redirect to elsewhere does not get the credentials", async () => {
  let leaked: string | undefined = "unset";
  const elsewhere = createServer((request, response) => {
    leaked = request.headers.authorization;
    response.end(blob);
  }).listen(0, "127.0.0.1");
  await once(elsewhere, "listening");
  const { port } = elsewhere.address() as AddressInfo;
  await withRegistry(
    (request, response) => {
      if (request.headers.authorization === undefined)
        response.writeHead(401, { "www-authenticate": "Basic realm=x" }).end();
      else response.writeHead(307, { location: `http://127.0.0.1:${port}/blob` }).end();
    },
    async ({ repository, fetcher }) => {
      await fetcher.fetch(scope, repository, descriptor, fetchOptions);
    },
    async () => ({ kind: "password", username: "u", secret: "p" }),
  );
  elsewhere.closeAllConnections();
  elsewhere.close();
  assert.equal(leaked, undefined);
});

test("unhelpful responses become helpful errors", async () => {
  const cases: [number, RegExp][] = [
    [403, /answered 403 for manifest t \(DENIED no entry\)/],
    [404, /answered 404 .*not found/],
    [418, /answered 418/],
  ];
  for (const [status, expected] of cases)
    await withRegistry(
      (_request, response) =>
        response.writeHead(status).end('{"errors":[{"code":"DENIED","message":"no entry"}]}'),
      async ({ repository }) => {
        await assert.rejects(repository.resolve(), expected);
      },
    );
});

test("refusals fail at once and say what to do", async () => {
  let requests = 0;
  await withRegistry(
    (request, response) => {
      requests++;
      response.writeHead(429, { "retry-after": "3600" });
      response.end(request.method === "HEAD" ? undefined : '{"errors":[{"code":"TOOMANYREQUESTS"}]}');
    },
    async ({ repository }) => {
      await assert.rejects(repository.resolve(), (error) => {
        assert.ok(isCode(error, "resource_exhausted"));
        assert.match((error as { hint?: string }).hint ?? "", /wait \(it says 3600 s\)/);
        return true;
      });
    },
  );
  assert.ok(requests <= 2, "a Retry-After of an hour is not waited for");
});
