/** Images of several platforms, and the names of archives' images: transfers by containerd's rules. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import test, { type TestContext } from "node:test";
import { pack } from "@berth/api/any";
import { Transfer } from "@berth/api/transfer";
import * as types from "@berth/api/transferTypes";
import { type BerthClient, connect } from "@berth/client";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { openStream, receiveData, sendData, streamId } from "../../packages/client/streams.ts";
import { cannotRun, Folder, startBerthd, startRegistry } from "../support/daemons.ts";
import { dockerArchive, makeImage, ociArchive, platformsArchive, sha256, tar } from "../support/images.ts";

const skip = cannotRun("/usr/bin/docker-registry", "/usr/bin/ctr", "/usr/bin/skopeo");
const HOST = process.arch === "arm64" ? "arm64" : "amd64";
const OTHER = process.arch === "arm64" ? "amd64" : "arm64";

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}

const layerOf = (text: string) => tar({ name: "file", data: text });
const own = makeImage([layerOf("own")], "gzip", {}, HOST);
const other = makeImage([layerOf("other")], "gzip", {}, OTHER);
const attestation = makeImage([layerOf("attestation")], "gzip", {}, "unknown");
const digestsOf = ({ manifest, config, layers }: typeof own) => ({
  manifest: sha256(manifest),
  config: sha256(config),
  layer: sha256(layers[0]!.bytes),
});
const NAME = "docker.io/library/both:1";
const { archive, index } = platformsArchive(
  [
    { architecture: OTHER, image: other },
    { architecture: HOST, image: own },
    { architecture: "unknown", os: "unknown", image: attestation },
  ],
  NAME,
);

type Store = MessageInitShape<typeof types.ImageStoreSchema>;

/** A daemon, and what the namespace of a new client holds of the images. */
async function setup(t: TestContext) {
  const folder = new Folder();
  t.after(() => folder.remove());
  const daemon = await startBerthd(folder.path);
  t.after(() => daemon.stop());
  let count = 0;
  const client = () => {
    const namespace = `n${++count}`;
    const made = connect({ address: daemon.socket, namespace });
    t.after(() => made.close());
    return { client: made, namespace, ctr: (...args: string[]) => daemon.ctr("-n", namespace, ...args) };
  };
  return { folder: folder.path, client };
}

/** Which of the images' blobs there are once garbage is collected. */
async function held(client: BerthClient): Promise<string[]> {
  await client.garbage.collect({ dryRun: false });
  const found = new Set<string>();
  for await (const { digest } of client.content.list()) found.add(digest);
  return Object.entries({ own, other, attestation }).flatMap(([name, image]) =>
    Object.entries(digestsOf(image)).flatMap(([part, digest]) =>
      found.has(digest) ? [`${name} ${part}`] : [],
    ),
  );
}

const OWN = ["own manifest", "own config", "own layer"];
const OTHERS = ["other manifest", "other config", "other layer"];
const ATTESTATION = ["attestation manifest", "attestation config", "attestation layer"];

async function importInto(client: BerthClient, bytes: Buffer, destination: Store, forceCompress = false) {
  const id = streamId("import");
  const stream = await openStream(client.connection, id);
  const sending = sendData(stream, once(bytes));
  await client.connection.client(Transfer).transfer({
    source: pack(types.ImageImportStreamSchema, { stream: id, forceCompress }),
    destination: pack(types.ImageStoreSchema, destination),
  });
  await sending;
  stream.cancel();
}

const imagesOf = async (client: BerthClient) =>
  Object.fromEntries((await client.images.list()).map(({ name, target }) => [name, target.digest]));

test("one platform, all platforms, and all platforms' metadata are pulled, saved and loaded", {
  skip,
}, async (t) => {
  const { folder, client: clientOf } = await setup(t);
  const registry = await startRegistry(folder);
  t.after(() => registry.stop());
  const name = `${registry.host}/test/both:1`;

  const { client: source } = clientOf();
  const [loaded] = await source.images.load(once(archive));
  assert.equal(loaded!.target.digest, index, "the image is the index");
  assert.deepEqual(await held(source), [...OWN, "other manifest", "attestation manifest"]);
  await source.images.load(once(archive), { allPlatforms: true });
  assert.deepEqual(await held(source), [...OWN, ...OTHERS, ...ATTESTATION]);
  await source.images.tag(NAME, name);
  await source.images.push(name, name);

  const { client: one, ctr } = clientOf();
  await one.images.pull(name);
  assert.deepEqual(await held(one), OWN);
  assert.equal((await one.images.get(name)).target.digest, index);
  await one.images.pull(name, { platform: { os: "linux", architecture: OTHER } });
  assert.deepEqual(await held(one), [...OWN, ...OTHERS]);
  await assert.rejects(one.images.pull(name, { platform: { os: "linux", architecture: "s390x" } }), {
    code: "not_found",
    message: /no match for platform linux\/s390x in manifest/,
  });
  const checked = await ctr("images", "check");
  assert.match(checked.stdout, /complete \(2\/2\)/, checked.stderr);

  const { client: all } = clientOf();
  await all.images.pull(name, { allPlatforms: true });
  assert.deepEqual(await held(all), [...OWN, ...OTHERS, ...ATTESTATION]);

  const { client: metadata } = clientOf();
  const pull = (destination: Store) =>
    metadata.connection.client(Transfer).transfer({
      source: pack(types.OCIRegistrySchema, { reference: name }),
      destination: pack(types.ImageStoreSchema, destination),
    });
  const platforms = [{ os: "linux", architecture: HOST }];
  await pull({ name, platforms, allMetadata: true });
  assert.deepEqual(await held(metadata), [
    ...OWN,
    "other manifest",
    "other config",
    "attestation manifest",
    "attestation config",
  ]);
  const { client: limited } = clientOf();
  await limited.connection.client(Transfer).transfer({
    source: pack(types.OCIRegistrySchema, { reference: name }),
    destination: pack(types.ImageStoreSchema, {
      name,
      platforms: [{ os: "linux", architecture: OTHER }, ...platforms],
      manifestLimit: 1,
    }),
  });
  assert.deepEqual(await held(limited), OTHERS, "the first platform");

  const save = async (from: BerthClient, options: object) => {
    const parts: Uint8Array[] = [];
    for await (const part of from.images.save([name], options)) parts.push(part);
    return Buffer.concat(parts);
  };
  const everything = await save(all, { allPlatforms: true });
  const { client: again } = clientOf();
  await again.images.load(once(everything), { allPlatforms: true });
  assert.deepEqual(await imagesOf(again), { [name]: index });
  assert.deepEqual(await held(again), [...OWN, ...OTHERS, ...ATTESTATION]);
  await assert.rejects(save(limited, { allPlatforms: true }), { code: "not_found" });
  await assert.rejects(
    save(again, { platform: { os: "linux", architecture: "s390x" } }),
    /no manifest found/,
  );

  // For one platform, the index comes with it; other programs read that.
  const part = join(folder, "part.tar");
  writeFileSync(part, await save(one, {}));
  const { client: partly, ctr: ctrPartly } = clientOf();
  const imported = await ctrPartly("images", "import", part);
  assert.equal(imported.code, 0, imported.stderr);
  assert.deepEqual(await imagesOf(partly), { [name]: index });
  const inspected = execFileSync("/usr/bin/skopeo", ["inspect", "--config", `docker-archive:${part}`]);
  assert.equal(JSON.parse(inspected.toString()).architecture, HOST);
});

test("blobs remember all repositories of a registry that have them", { skip }, async (t) => {
  const { folder, client: clientOf } = await setup(t);
  const registry = await startRegistry(folder);
  t.after(() => registry.stop());
  const { client } = clientOf();
  await client.images.load(once(ociArchive(own, NAME)));
  for (const repository of ["b/two", "a/one"]) {
    const name = `${registry.host}/${repository}:1`;
    await client.images.push(NAME, name);
    await client.images.pull(name);
  }
  await client.images.push(NAME, `${registry.host}/c/three:1`);
  const label = `containerd.io/distribution.source.${registry.host}`;
  for (const digest of Object.values(digestsOf(own)))
    assert.equal((await client.content.info(digest)).labels[label], "a/one,b/two");
});

test("an archive's images are named by annotations, prefixes and digests; its index, too", {
  skip,
}, async (t) => {
  const { client: clientOf } = await setup(t);
  const manifest = sha256(own.manifest);
  const full = ociArchive(own, "registry.test/x/y:1");
  const tagged = ociArchive(own, "v1");
  const prefix = (name: string, more: object = {}) => ({ name, isPrefix: true, ...more });
  const digested = { addDigest: true };
  const byDigest = (name: string, ...digests: string[]) =>
    Object.fromEntries(digests.map((digest) => [`${name}@${digest}`, digest]));
  const indexOf = (bytes: Buffer) =>
    sha256(Buffer.from(/{"schemaVersion":2,"manifests":.*?\]}/.exec(bytes.toString("latin1"))![0]));
  const cases: [string, Buffer, Store, Record<string, string>][] = [
    [
      "a full name",
      full,
      { extraReferences: [prefix("a/b", { allowOverwrite: true })] },
      { "registry.test/x/y:1": manifest },
    ],
    [
      "a full name that has the prefix",
      full,
      { extraReferences: [prefix("registry.test/x")] },
      { "registry.test/x/y:1": manifest },
    ],
    [
      "by name and digest",
      full,
      { extraReferences: [prefix("registry.test/x", digested)] },
      { "registry.test/x/y:1": manifest, ...byDigest("registry.test/x", manifest, indexOf(full)) },
    ],
    [
      "by digest only without a name",
      full,
      { extraReferences: [prefix("c.test/x", { ...digested, skipNamedDigest: true })] },
      byDigest("c.test/x", manifest, indexOf(full)),
    ],
  ];
  for (const [what, bytes, destination, expected] of cases) {
    const { client } = clientOf();
    await importInto(client, bytes, destination);
    assert.deepEqual(await imagesOf(client), expected, what);
  }
  const { client } = clientOf();
  await importInto(client, tagged, {
    name: "index.test/i:1",
    extraReferences: [prefix("d.test/x", { allowOverwrite: true })],
  });
  const named = await imagesOf(client);
  assert.equal(named["d.test/x:v1"], undefined, "a full name is not a tag");
  assert.equal(
    (await client.images.get("index.test/i:1")).target.mediaType,
    "application/vnd.oci.image.index.v1+json",
  );
  const extra = await client.images.get("index.test/i:1");
  await client.images.remove(extra.name);
  await client.garbage.collect({ dryRun: false });
  assert.deepEqual(await imagesOf(client), {}, "further names go with the first one");
  await importInto(client, full, { extraReferences: [prefix("z.test")] });
  assert.deepEqual(await imagesOf(client), {}, "what is not asked for is left out");
});

test("Docker's archives: one platform is refused by name, layers are compressed on request", {
  skip,
}, async (t) => {
  const { client: clientOf } = await setup(t);
  const layer = layerOf("plain".repeat(1000));
  const image = makeImage([layer], "none", {}, OTHER);
  const bytes = dockerArchive(image, [layer], "d:1");
  const { client } = clientOf();
  await assert.rejects(client.images.load(once(bytes)), {
    code: "not_found",
    message: new RegExp(`the archive holds no image for linux/${HOST}`),
  });
  const destination = { extraReferences: [{ name: "x", isPrefix: true, allowOverwrite: true }] };
  await importInto(client, bytes, destination, true);
  const found = await client.images.get("docker.io/library/d:1");
  const manifest = JSON.parse(await text(client.content.read(found.target.digest)));
  assert.match(manifest.layers[0].mediaType, /gzip$/);
  const { labels } = await client.content.info(manifest.layers[0].digest);
  assert.equal(labels["containerd.io/uncompressed"], sha256(layer));
  // What is known to be the same layer is taken.
  await importInto(client, bytes, destination);
  assert.equal((await client.images.get("docker.io/library/d:1")).target.digest, found.target.digest);
});

test("an imported stream is exported as it came", { skip }, async (t) => {
  const { client } = (await setup(t)).client();
  const [input, output] = [streamId("import"), streamId("export")];
  const from = await openStream(client.connection, input);
  const to = await openStream(client.connection, output);
  const data = Buffer.from("any bytes ".repeat(400_000));
  const sending = sendData(from, once(data));
  const done = client.connection.client(Transfer).transfer({
    source: pack(types.ImageImportStreamSchema, { stream: input }),
    destination: pack(types.ImageExportStreamSchema, { stream: output }),
  });
  const parts: Uint8Array[] = [];
  for await (const part of receiveData(to)) parts.push(part);
  await Promise.all([sending, done]);
  assert.ok(Buffer.concat(parts).equals(data));
  from.cancel();
  to.cancel();
});
