import assert from "node:assert/strict";
import test from "node:test";
import { parseChallenges } from "./auth.ts";

test("challenges are parsed", () => {
  assert.deepEqual(
    parseChallenges(
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull,push"',
    ),
    [
      {
        scheme: "bearer",
        parameters: {
          realm: "https://auth.docker.io/token",
          service: "registry.docker.io",
          scope: "repository:a:pull,push",
        },
      },
    ],
  );
  assert.deepEqual(parseChallenges('Basic realm="a \\"b\\"", Bearer realm=x'), [
    { scheme: "basic", parameters: { realm: 'a "b"' } },
    { scheme: "bearer", parameters: { realm: "x" } },
  ]);
  assert.deepEqual(parseChallenges("Negotiate"), [{ scheme: "negotiate", parameters: {} }]);
});
