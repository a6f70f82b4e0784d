/** Registries with TLS and mirrors, as containerd's hosts folder describes them: a real registry, real certificates. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { get } from "node:https";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { connect } from "@berth/client";
import { authority, type Certificates } from "../support/certificates.ts";
import { answers, berthdArgs, cannotRun, Folder, freePort, start } from "../support/daemons.ts";
import { busyboxLayer, makeImage, ociArchive } from "../support/images.ts";

const skip = cannotRun("/usr/bin/openssl", "/usr/bin/docker-registry");

/** A registry with TLS, which wants a client's certificate if `wants`. */
async function startTlsRegistry(folder: string, { ca, server, client }: Certificates, wants = false) {
  const port = await freePort();
  const config = join(folder, `registry-${port}.yml`);
  const tls = { certificate: `${server}.crt`, key: `${server}.key`, ...(wants ? { clientcas: [ca] } : {}) };
  writeFileSync(
    config,
    JSON.stringify({
      version: 0.1,
      log: { level: "error" },
      storage: { filesystem: { rootdirectory: join(folder, `registry-${port}`) } },
      http: { addr: `127.0.0.1:${port}`, tls },
    }),
  );
  const { readFileSync } = process.getBuiltinModule("node:fs");
  const options = {
    ca: readFileSync(ca),
    cert: readFileSync(`${client}.crt`),
    key: readFileSync(`${client}.key`),
  };
  const isReady = () =>
    new Promise<boolean>((resolve) =>
      get(`https://127.0.0.1:${port}/v2/`, options, (answer) => {
        answer.resume();
        resolve(true);
      }).on("error", () => resolve(false)),
    );
  const peer = await start("/usr/bin/docker-registry", ["serve", config], isReady);
  return { ...peer, host: `localhost:${port}` };
}

async function setup(t: TestContext, env: (certificates: Certificates) => Record<string, string>) {
  const folder = new Folder();
  t.after(() => folder.remove());
  const certificates = authority(folder.path);
  const hosts = join(folder.path, "certs.d");
  mkdirSync(hosts);
  writeFileSync(join(folder.path, "config.toml"), `[registry]\nconfig_path = "${hosts}"\n`);
  const socket = join(folder.path, "run/berth.sock");
  const args = berthdArgs(folder.path, "--config", join(folder.path, "config.toml"));
  const daemon = await start(process.execPath, args, answers(socket), env(certificates));
  t.after(() => daemon.stop());
  const client = connect({ address: socket });
  t.after(() => client.close());
  const image = makeImage([busyboxLayer()]);
  const load = async (name: string) => {
    async function* archive() {
      yield ociArchive(image, name);
    }
    await client.images.load(archive());
  };
  const describe = (registry: string, file: string, text: string) => {
    mkdirSync(join(hosts, registry), { recursive: true });
    writeFileSync(join(hosts, registry, file), text);
  };
  return { folder: folder.path, certificates, client, load, describe, hosts, log: () => daemon.log() };
}

test("a CA of the system's store is believed; a client certificate and mirrors by hosts.toml", {
  skip,
}, async (t) => {
  const parts = await setup(t, ({ ca }) => ({ SSL_CERT_FILE: ca, SSL_CERT_DIR: "/nonexistent" }));
  const { certificates, client, load, describe, folder } = parts;
  const open = await startTlsRegistry(folder, certificates);
  const closed = await startTlsRegistry(folder, certificates, true);
  t.after(() => Promise.all([open.stop(), closed.stop()]));

  // Loopback registries are spoken to in plain HTTP unless something says otherwise.
  describe(open.host, "hosts.toml", `server = "https://${open.host}"\n`);
  const name = `${open.host}/a/b:1`;
  await load(name);
  await client.images.push(name, name);
  await client.images.remove(name);
  await client.images.pull(name);

  const key = `client = [["${certificates.client}.crt", "${certificates.client}.key"]]`;
  const guarded = `${closed.host}/a/b:1`;
  await load(guarded);
  describe(closed.host, "hosts.toml", `server = "https://${closed.host}"\n`);
  await assert.rejects(
    client.images.push(guarded, guarded),
    /cannot reach registry localhost:.*TLS alert "(bad certificate|certificate required)"/,
  );
  describe(closed.host, "hosts.toml", `server = "https://${closed.host}"\n${key}\n`);
  await client.images.push(guarded, guarded);

  // A registry that does not exist, behind a dead mirror, one with another's certificate, and one that has it.
  const dead = await freePort();
  describe(
    "registry.invalid",
    "hosts.toml",
    `server = "https://127.0.0.1:${dead}"
[host."http://127.0.0.1:${dead}"]
[host."https://${closed.host}"]
[host."https://${open.host}"]
capabilities = ["pull", "resolve"]
`,
  );
  await client.images.pull("registry.invalid/a/b:1");
  const { target } = await client.images.get("registry.invalid/a/b:1");
  assert.equal(target.digest, (await client.images.get(name)).target.digest);
  await assert.rejects(client.images.pull("registry.invalid/a/none:1"), (error: Error) => {
    for (const reason of [
      `127.0.0.1:${dead}: `,
      `cannot reach registry ${closed.host}: it ended`,
      `registry ${open.host} answered 404`,
    ])
      assert.ok(error.message.includes(reason), error.message);
    return true;
  });
});

test("a CA of the registry's folder is believed for that registry, in Docker's layout, too", {
  skip,
}, async (t) => {
  const { certificates, client, load, describe, folder, hosts } = await setup(t, () => ({}));
  const registry = await startTlsRegistry(folder, certificates);
  t.after(() => registry.stop());
  const name = `${registry.host}/a/b:1`;
  await load(name);
  describe(registry.host, "hosts.toml", `server = "https://${registry.host}"\n`);
  await assert.rejects(client.images.push(name, name), /unable to verify|self-signed|unable to get/i);
  describe(registry.host, "hosts.toml", `server = "https://${registry.host}"\nca = "../../ca.crt"\n`);
  await client.images.push(name, name);
  execFileSync("cp", [certificates.ca, join(hosts, registry.host, "ca.crt")]);
  describe(registry.host, "hosts.toml", "");
  await client.images.remove(name);
  await client.images.pull(name);
  const elsewhere = join(folder, "elsewhere");
  mkdirSync(join(elsewhere, registry.host), { recursive: true });
  writeFileSync(join(elsewhere, registry.host, "hosts.toml"), `server = "https://${registry.host}"\n`);
  await assert.rejects(client.images.pull(name, { hostsDir: elsewhere }), /cannot reach registry/);
  describe(registry.host, "hosts.toml", "server = \n");
  await assert.rejects(client.images.pull(name), /hosts.toml:1:10: /);
});
