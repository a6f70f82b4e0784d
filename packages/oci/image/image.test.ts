import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { chainIds, checkDigest, isDigest } from "./digest.ts";
import { isIndex, parseConfig, parseManifest } from "./manifest.ts";
import { chooseManifest, platformMatches, platformOfNode } from "./platform.ts";
import { apiHost, familiarName, isLoopback, normalizeReference } from "./reference.ts";

const SHA256 = `sha256:${"a".repeat(64)}`;
const SHA512 = `sha512:${"b".repeat(128)}`;

test("short names and Docker Hub's aliases resolve to Docker Hub", () => {
  for (const [short, full] of [
    ["busybox", "docker.io/library/busybox:latest"],
    ["a/b:1", "docker.io/a/b:1"],
    ["docker.io/busybox", "docker.io/library/busybox:latest"],
    ["localhost/b", "localhost/b:latest"],
    ["localhost:5000/a/b:t", "localhost:5000/a/b:t"],
    ["[::1]:5000/a", "[::1]:5000/a:latest"],
    [`ghcr.io/a@${SHA256}`, `ghcr.io/a@${SHA256}`],
    [`ghcr.io/a:1@${SHA512}`, `ghcr.io/a:1@${SHA512}`],
    [`index.docker.io/x:1@${SHA256}`, `docker.io/library/x:1@${SHA256}`],
    ["registry-1.docker.io/x/y", "docker.io/x/y:latest"],
    // A repository has no upper case letters: this can only be a host.
    ["Registry/x", "Registry/x:latest"],
  ] as const)
    assert.equal(normalizeReference(short), full);
});

test("invalid references are refused, and never taken for Docker Hub's", () => {
  for (const bad of ["", "Upper", "a b", "a:", "a@sha256:1", "host.x/", "a//b", "foo_bar.com/x", "-a.com/x"])
    assert.throws(
      () => normalizeReference(bad),
      { code: "invalid_argument", message: /invalid image name/ },
      bad,
    );
  assert.throws(() => normalizeReference(`a@${SHA256}@${SHA256}`), /two digests/);
});

test("names as docker shows them, and registries' hosts", () => {
  assert.deepEqual(familiarName("docker.io/library/alpine:3"), { repository: "alpine", tag: "3" });
  assert.deepEqual(familiarName("localhost:5000/a/b:1"), { repository: "localhost:5000/a/b", tag: "1" });
  assert.deepEqual(familiarName(`docker.io/a/b@${SHA256}`), { repository: "a/b", tag: "<none>" });
  assert.equal(apiHost("docker.io"), "registry-1.docker.io");
  assert.ok(isLoopback("127.0.0.1:5000") && isLoopback("localhost") && isLoopback("[::1]:1"));
  assert.ok(!isLoopback("localhost.example.com"));
});

test("digests are sha256 or sha512, in lower case", () => {
  assert.ok(isDigest(SHA256) && isDigest(SHA512));
  for (const bad of [SHA256.toUpperCase(), "sha256:ab", `sha512:${"a".repeat(64)}`, `md5:${"a".repeat(32)}`])
    assert.throws(() => checkDigest(bad), { code: "invalid_argument" }, bad);
});

test("a ChainID hashes the parent's ChainID and the layer's DiffID", () => {
  const digestOf = (text: string) => `sha256:${createHash("sha256").update(text).digest("hex")}`;
  const two = digestOf("sha256:1 sha256:2");
  assert.deepEqual(chainIds([], digestOf), []);
  assert.deepEqual(chainIds(["sha256:1", "sha256:2", "sha256:3"], digestOf), [
    "sha256:1",
    two,
    digestOf(`${two} sha256:3`),
  ]);
});

test("platforms by all their names", () => {
  const linux = (architecture: string, variant?: string) =>
    variant === undefined ? { os: "linux", architecture } : { os: "linux", architecture, variant };
  assert.deepEqual(platformOfNode("x64"), linux("amd64"));
  assert.deepEqual(platformOfNode("riscv64"), linux("riscv64"));
  assert.ok(platformMatches(linux("amd64"), linux("x86_64")));
  assert.ok(platformMatches(linux("x86_64"), linux("amd64")));
  assert.ok(platformMatches(linux("arm64", "v8"), linux("aarch64")));
  assert.ok(platformMatches(linux("arm64"), linux("arm64", "v8")));
  assert.ok(platformMatches(linux("arm", "v7"), linux("arm", "v6")), "an older variant runs");
  assert.ok(!platformMatches(linux("arm", "v6"), linux("arm", "v7")), "a newer one does not");
  assert.ok(!platformMatches(linux("amd64"), { os: "windows", architecture: "amd64" }));
  assert.ok(platformMatches(linux("amd64"), undefined), "an image that does not say");
});

test("the best manifest of an index is chosen", () => {
  const of = (architecture: string, variant?: string, os = "linux") => ({
    platform: variant === undefined ? { os, architecture } : { os, architecture, variant },
  });
  const arm = [of("arm", "v5"), of("arm", "v6"), of("arm64", "v8")];
  assert.equal(chooseManifest(arm, { os: "linux", architecture: "arm", variant: "v7" }), arm[1]);
  assert.equal(chooseManifest(arm, { os: "linux", architecture: "amd64" }), undefined);
  const intel = [of("amd64", "v3"), of("amd64"), of("unknown", undefined, "unknown")];
  assert.equal(chooseManifest(intel, { os: "linux", architecture: "amd64" }), intel[1]);
  const alone = [of("amd64", "v3")];
  assert.equal(chooseManifest(alone, { os: "linux", architecture: "amd64" }), alone[0], "better than none");
  const bare = [{}, of("amd64")];
  assert.equal(chooseManifest(bare, { os: "linux", architecture: "amd64" }), bare[1]);
  assert.equal(chooseManifest(bare, { os: "linux", architecture: "arm64" }), bare[0]);
});

test("untrusted documents are checked field by field", () => {
  const blob = (digest = SHA256) => ({ mediaType: "m", digest, size: 1 });
  const manifest = parseManifest(JSON.stringify({ config: blob(), layers: [blob(SHA512)] }), "d");
  assert.ok(!isIndex(manifest) && manifest.layers[0]?.digest === SHA512);
  const index = parseManifest(
    JSON.stringify({ manifests: [{ ...blob(), platform: { os: "linux", architecture: "arm" } }] }),
    "d",
  );
  assert.ok(isIndex(index) && index.manifests[0]?.platform?.architecture === "arm");
  for (const [bad, words] of [
    ["{", /manifest d is not JSON/],
    ["[]", /is no JSON object/],
    ['{"schemaVersion":1}', /schema 1/],
    ["{}", /neither layers nor manifests/],
    ['{"layers":[],"config":null}', /config is null, expected a descriptor/],
    [
      `{"layers":[{"mediaType":"m","digest":"${SHA256}","size":-1}],"config":${JSON.stringify(blob())}}`,
      /size/,
    ],
  ] as const)
    assert.throws(() => parseManifest(bad, "d"), words);
  assert.throws(() => parseConfig("{}", "d"), /no rootfs.diff_ids/);
  assert.deepEqual(parseConfig(`{"rootfs":{"diff_ids":["${SHA256}"]}}`, "d").rootfs.diff_ids, [SHA256]);
});
