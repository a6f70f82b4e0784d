import assert from "node:assert/strict";
import test from "node:test";
import { apiHost, formatReference, isLoopback, parseReference } from "./reference.ts";

const D = `sha256:${"a".repeat(64)}`;

test("short names are Docker Hub's", () => {
  const full = (text: string) => formatReference(parseReference(text));
  assert.equal(full("busybox"), "docker.io/library/busybox:latest");
  assert.equal(full("a/b:1"), "docker.io/a/b:1");
  assert.equal(full("localhost/b"), "localhost/b:latest");
  assert.equal(full("localhost:5000/a/b:t"), "localhost:5000/a/b:t");
  assert.equal(full(`ghcr.io/a@${D}`), `ghcr.io/a@${D}`);
  assert.equal(full(`index.docker.io/x:1@${D}`), `docker.io/library/x:1@${D}`);
});

test("what is no reference is refused", () => {
  for (const bad of ["", "Upper", "a b", "a:", "a@sha256:1", "host.x/", "a//b"])
    assert.throws(() => parseReference(bad), /invalid argument/, bad);
});

test("hosts", () => {
  assert.equal(apiHost("docker.io"), "registry-1.docker.io");
  assert.ok(isLoopback("127.0.0.1:5000") && isLoopback("localhost") && isLoopback("[::1]:1"));
  assert.ok(!isLoopback("localhost.example.com"));
});
