/** The daemon's other doors: TCP with certificates on both sides, the debug socket, the programs that judge pulls, and those that process layers. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import test, { type TestContext } from "node:test";
import { connect } from "@berth/client";
import { authority } from "../support/certificates.ts";
import {
  berthdArgs,
  cannotRun,
  Folder,
  freePort,
  run,
  startBerthd,
  startRegistry,
} from "../support/daemons.ts";
import { makeImage, ociArchive, sha256, tar } from "../support/images.ts";

const skip = cannotRun("/usr/bin/openssl", "/usr/bin/docker-registry");

/** A daemon with these settings. */
async function setup(t: TestContext, settings: (folder: string) => string) {
  const folder = new Folder();
  t.after(() => folder.remove());
  const file = join(folder.path, "config.toml");
  writeFileSync(file, settings(folder.path));
  const daemon = await startBerthd(folder.path, ["--config", file]);
  t.after(() => daemon.stop());
  const client = connect({ address: daemon.socket });
  t.after(() => client.close());
  return { folder: folder.path, daemon, client, file };
}

const VERSION = "/containerd.services.version.v1.Version/Version";

test("on TCP, clients have to show a certificate of the CA, and of the name", { skip }, async (t) => {
  const port = await freePort();
  let certificates!: ReturnType<typeof authority>;
  const { folder, file, daemon } = await setup(t, (at) => {
    certificates = authority(at);
    const { ca, server } = certificates;
    return `[tcp]
address = "127.0.0.1:${port}"
ca = "${ca}"
cert = "${server}.crt"
key = "${server}.key"
common_name = "client"
`;
  });
  const { ca, client, server } = certificates;
  const shows = (path: string) => ({ cert: readFileSync(`${path}.crt`), key: readFileSync(`${path}.key`) });
  const call = async (options: object) => {
    const session = http2.connect(`https://127.0.0.1:${port}`, { ca: readFileSync(ca), ...options });
    try {
      return await new Promise<string>((resolve, reject) => {
        session.on("error", reject);
        session.on("close", () => reject(new Error("closed")));
        const request = session.request({
          ":method": "POST",
          ":path": VERSION,
          "content-type": "application/grpc",
          te: "trailers",
        });
        request.on("error", reject);
        request.on("trailers", (trailers) => resolve(String(trailers["grpc-status"])));
        request.resume();
        request.end(Buffer.alloc(5));
      });
    } finally {
      session.destroy();
    }
  };
  assert.equal(await call(shows(client)), "0");
  await assert.rejects(call({}), "without a certificate");
  await assert.rejects(call(shows(server)), "another's name");
  const elsewhere = join(folder, "other");
  mkdirSync(elsewhere);
  await assert.rejects(call(shows(authority(elsewhere).client)), "of another CA");
  await assert.rejects(
    new Promise((_, reject) => http.get(`http://127.0.0.1:${port}/`).on("error", reject)),
    "no TLS",
  );
  assert.match(daemon.log(), /a client was refused .*expected client/);
  // The same API as JSON.
  const json = await new Promise<string>((resolve, reject) => {
    const headers = { "content-type": "application/json" };
    const options = { ca: readFileSync(ca), ...shows(client), method: "POST", path: VERSION, headers };
    https
      .request({ host: "127.0.0.1", port, ...options }, (answer) => resolve(text(answer)))
      .on("error", reject)
      .end("{}");
  });
  assert.ok(JSON.parse(json).version);

  writeFileSync(file, `[tcp]\naddress = "127.0.0.1:${port}"\nca = "${ca}"\ncert = "${server}.crt"\n`);
  const { code, stderr } = await run(process.execPath, berthdArgs(join(folder, "second"), "--config", file));
  assert.equal(code, 1);
  assert.match(stderr, /tcp.key is missing: on TCP, berthd and its clients have to show certificates/);
});

test("the debug socket shows what the process does, and changes the log level", { skip }, async (t) => {
  const { folder, daemon } = await setup(t, (at) => `[debug]\naddress = "${at}/debug.sock"\n`);
  const socket = join(folder, "debug.sock");
  assert.equal(statSync(socket).mode & 0o777, 0o600);
  const curl = (...args: string[]) => run("/usr/bin/curl", ["-s", "--unix-socket", socket, ...args]);
  const { stdout } = await curl("http://x/debug/vars");
  assert.equal(JSON.parse(stdout).pid, daemon.pid);
  assert.ok(JSON.parse(stdout).memory.rss > 0);
  assert.equal((await curl("http://x/debug/log-level")).stdout, "info\n");
  assert.equal((await curl("-X", "PUT", "-d", "debug", "http://x/debug/log-level")).stdout, "debug\n");
  assert.match(
    (await curl("-X", "PUT", "-d", "loud", "http://x/debug/log-level")).stdout,
    /found "loud", expected/,
  );
  const profile = JSON.parse((await curl("http://x/debug/profile?seconds=0.2")).stdout);
  assert.ok(profile.nodes.length > 0);
  assert.match((await curl("http://x/debug/pprof/heap")).stdout, /Go's pprof is not here/);
});

test("an image is pulled only if every verifier agrees", { skip }, async (t) => {
  const { folder, client } = await setup(
    t,
    (at) => `[verifiers]\nbin_dir = "${at}/verifiers"\nmax = 2\ntimeout = "1s"\n`,
  );
  const registry = await startRegistry(folder);
  t.after(() => registry.stop());
  const name = `${registry.host}/a/b:1`;
  async function* archive() {
    yield ociArchive(makeImage([tar({ name: "x", data: "x" })]), name);
  }
  const [image] = await client.images.load(archive());
  await client.images.push(name, name);
  const verifier = (file: string, script: string) => {
    const path = join(folder, "verifiers", file);
    mkdirSync(join(folder, "verifiers"), { recursive: true });
    writeFileSync(path, `#!/bin/sh\n${script}\n`);
    chmodSync(path, 0o755);
  };
  await client.images.pull(name);
  verifier("a", `echo "$@" > ${folder}/args; cat > ${folder}/stdin`);
  await client.images.pull(name);
  const { digest, mediaType, size } = image!.target;
  assert.equal(
    readFileSync(join(folder, "args"), "utf8"),
    `-name ${name} -digest ${digest} -stdin-media-type application/vnd.oci.descriptor.v1+json\n`,
  );
  assert.deepEqual(JSON.parse(readFileSync(join(folder, "stdin"), "utf8")), { mediaType, digest, size });
  verifier("b", "echo not signed; exit 3");
  await assert.rejects(client.images.pull(name), {
    code: "permission_denied",
    message: new RegExp(
      `verifiers/b blocks the pull of ${name} \\(${digest}\\): not signed \\(exit code 3\\)`,
    ),
  });
  verifier("b", "exec sleep 30");
  await assert.rejects(client.images.pull(name), /it did not answer within 1 s/);
  verifier("b", "true");
  verifier("c", "exit 1");
  await client.images.pull(name);
  execFileSync("rm", ["-r", join(folder, "verifiers")]);
  await client.images.pull(name);
});

test("layers of other types go through stream processors", { skip }, async (t) => {
  const type = "application/vnd.oci.image.layer.v1.tar+base64";
  const { client } = await setup(
    t,
    () => `version = 3
[stream_processors.base64]
  accepts = ["${type}"]
  returns = "application/vnd.oci.image.layer.v1.tar"
  path = "base64"
  args = ["-d"]
`,
  );
  const image = makeImage([tar({ name: "hidden", data: "found" })], "none");
  const [layer] = image.layers;
  const encoded = Buffer.from(layer!.bytes.toString("base64"));
  const manifest = JSON.parse(image.manifest.toString());
  manifest.layers[0] = { mediaType: type, digest: sha256(encoded), size: encoded.length };
  const processed = {
    ...image,
    manifest: Buffer.from(JSON.stringify(manifest)),
    layers: [{ ...layer!, bytes: encoded, mediaType: type }],
  };
  async function* archive() {
    yield ociArchive(processed, "docker.io/library/encoded:1");
  }
  const [loaded] = await client.images.load(archive());
  const { chainId } = await client.images.resolve(loaded!);
  const [mount] = await client.snapshots.view("look", chainId);
  assert.equal(readFileSync(join(mount!.source, "hidden"), "utf8"), "found");
});
