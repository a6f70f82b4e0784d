import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import test, { type TestContext } from "node:test";
import { isCode } from "@berth/base";
import { parseReference } from "@berth/oci";
import { fakeServer, type Handler } from "./fake-server.ts";
import { refuseDowngrade } from "./http.ts";
import { Repository } from "./repository.ts";

const digest = `sha256:${"a".repeat(64)}`;
const blob = { mediaType: "application/octet-stream", digest, size: 4 };
const SECRET = "s3cret-token";

/** A registry that requires a password, and a client with the password and additional headers. */
async function registry(t: TestContext, handler: Handler) {
  const home = await fakeServer(t, (request, response) => {
    if (request.headers.authorization !== undefined) return handler(request, response);
    response.writeHead(401, { "www-authenticate": "Basic realm=x" }).end();
  });
  const requested: string[] = [];
  const repository = new Repository({
    reference: parseReference(`${home.host}/a/b:t`),
    headers: { "X-Registry-Key": SECRET, Cookie: SECRET },
    ask: async (host) => {
      requested.push(host);
      return { kind: "password", username: "me", secret: SECRET };
    },
  });
  return { ...home, repository, requested };
}

const isClean = (headers: IncomingMessage["headers"]) => {
  assert.equal(headers.authorization, undefined);
  assert.ok(!JSON.stringify(headers).includes(SECRET), JSON.stringify(headers));
};

test("an upload redirected elsewhere goes there without credentials", async (t) => {
  const elsewhere = await fakeServer(t, (_request, response) => response.writeHead(201).end());
  const { repository, seen } = await registry(t, (_request, response) =>
    response.writeHead(202, { location: `http://${elsewhere.host}/upload` }).end(),
  );
  await repository.pushBlob(blob, async function* () {
    yield Buffer.from("data");
  });
  assert.equal(seen.at(-1)!.headers["x-registry-key"], SECRET);
  assert.equal(elsewhere.seen.length, 1);
  isClean(elsewhere.seen[0]!.headers);
});

test("a redirect elsewhere drops every header for the registry, in any spelling", async (t) => {
  const elsewhere = await fakeServer(t, (_request, response) => response.writeHead(200).end("data"));
  const { repository } = await registry(t, (_request, response) =>
    response.writeHead(307, { location: `http://${elsewhere.host}/blob` }).end(),
  );
  const { body } = await repository.blob(blob, 0);
  body.resume();
  isClean(elsewhere.seen[0]!.headers);
});

test("a challenge from elsewhere is not answered", async (t) => {
  const elsewhere = await fakeServer(t, (_request, response) =>
    response.writeHead(401, { "www-authenticate": "Basic realm=mine" }).end(),
  );
  const { repository, requested } = await registry(t, (_request, response) =>
    response.writeHead(307, { location: `http://${elsewhere.host}/blob` }).end(),
  );
  await assert.rejects(repository.blob(blob, 0), (e) => isCode(e, "unauthenticated"));
  assert.equal(elsewhere.seen.length, 1);
  isClean(elsewhere.seen[0]!.headers);
  assert.equal(requested.length, 1);
});

test("a token server on another machine gets no password without https", async (t) => {
  const repositoryFor = async (realm: (host: string) => string) => {
    const home = await fakeServer(t, (_request, response) =>
      response.writeHead(401, { "www-authenticate": `Bearer realm="${realm(home.host)}"` }).end(),
    );
    return new Repository({
      reference: parseReference(`${home.host}/a/b:t`),
      ask: async () => ({ kind: "password", username: "me", secret: SECRET }),
    });
  };
  const other = await repositoryFor(() => "http://token.example/token");
  await assert.rejects(other.hasBlob(digest), (e: Error) => {
    assert.ok(isCode(e, "permission_denied"));
    assert.match(e.message, /names a token server on another machine without https: token\.example/);
    return true;
  });
});

test("https is never downgraded to http", () => {
  const secure = new URL("https://registry.example/");
  assert.throws(
    () => refuseDowngrade(secure, new URL("http://registry.example/upload"), "sends an upload"),
    /registry\.example sends an upload from https to http/,
  );
  refuseDowngrade(secure, new URL("https://elsewhere.example/"), "redirects");
  refuseDowngrade(new URL("http://127.0.0.1/"), new URL("http://127.0.0.1:1/"), "redirects");
});
