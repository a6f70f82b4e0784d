import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { SystemRoots, TlsAgents } from "./tls.ts";

const pem = (text: string) => `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----`;

const LATER = 6000;

test("the system's CAs are those of its file and its folders, each once, and read again when they change", (t) => {
  const root = mkdtempSync(join(tmpdir(), "berth-roots-"));
  t.after(() => rmSync(root, { recursive: true }));
  const file = join(root, "bundle.crt");
  const folder = join(root, "certs");
  mkdirSync(folder);
  writeFileSync(file, `# A\n${pem("A")}\n${pem("B")}\n`);
  writeFileSync(join(folder, "c.pem"), pem("C"));
  writeFileSync(join(folder, "b.pem"), pem("B"));
  symlinkSync("c.pem", join(folder, "0123abcd.0"));
  const roots = new SystemRoots({ SSL_CERT_FILE: file, SSL_CERT_DIR: `${folder}:${root}/none` });
  assert.deepEqual([...roots.certificates()].sort(), [pem("A"), pem("B"), pem("C")]);
  assert.equal(roots.certificates(), roots.certificates(), "not read again");
  const before = roots.stamp();
  t.mock.method(performance, "now", () => Number.MAX_SAFE_INTEGER / 2 + LATER);
  writeFileSync(file, `${pem("A")}\n${pem("D")}\n`);
  assert.notEqual(roots.stamp(), before);
  assert.ok(roots.certificates().includes(pem("D")));
});

test("a machine without a store has none; files that are no certificates are named", (t) => {
  const root = mkdtempSync(join(tmpdir(), "berth-roots-"));
  t.after(() => rmSync(root, { recursive: true }));
  const none = new SystemRoots({ SSL_CERT_FILE: "/nonexistent", SSL_CERT_DIR: "/nonexistent" });
  assert.deepEqual(none.certificates(), []);
  const agents = new TlsAgents({}, none);
  assert.equal(agents.agent(), agents.agent(), "one pool");
  const tls = { ca: ["/nonexistent/ca.pem"], client: [], skipVerify: false };
  assert.throws(() => agents.agent(tls), /cannot read the CA \/nonexistent\/ca.pem: ENOENT/);
  const bad = join(root, "key");
  writeFileSync(bad, "no key");
  assert.throws(
    () => agents.agent({ ...tls, ca: [], client: [{ cert: bad, key: "" }] }),
    /key is not a certificate/,
  );
});
