import assert from "node:assert/strict";
import test from "node:test";
import { type Choice, take } from "./choice.ts";

const entry = (architecture?: string, os = "linux") => ({
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  digest: `${os}/${architecture}`,
  size: 1,
  ...(architecture === undefined ? {} : { platform: { os, architecture } }),
});
const all = [entry("amd64"), entry("arm64"), entry("unknown", "unknown"), entry()];
const linux = (architecture: string) => ({ os: "linux", architecture });

const taken = (more: Partial<Choice>) =>
  take(all, { platforms: [], allMetadata: false, limit: 0, ...more }).map(
    ({ entry: { digest }, whole }) => `${digest}${whole ? "" : " metadata"}`,
  );

test("the entries of an index that a transfer takes", () => {
  const everything = ["linux/amd64", "linux/arm64", "unknown/unknown", "linux/undefined"];
  assert.deepEqual(taken({}), everything, "no platform means all");
  const platforms = [linux("arm64")];
  assert.deepEqual(taken({ platforms }), ["linux/arm64", "linux/undefined"]);
  assert.deepEqual(taken({ platforms, allMetadata: true }), [
    "linux/amd64 metadata",
    "linux/arm64",
    "unknown/unknown metadata",
    "linux/undefined",
  ]);
  assert.deepEqual(taken({ platforms: [linux("s390x")] }), ["linux/undefined"]);
});

test("a limit keeps those of the first platforms", () => {
  const platforms = [linux("arm64"), linux("amd64")];
  assert.deepEqual(taken({ platforms, limit: 1 }), ["linux/arm64"]);
  assert.deepEqual(taken({ platforms, limit: 2 }), ["linux/arm64", "linux/amd64"]);
  assert.deepEqual(taken({ limit: 2 }), ["linux/amd64", "linux/arm64"]);
});
