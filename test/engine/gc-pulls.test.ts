/** Pulls while garbage is collected without end: nothing that an image needs is ever lost. */
import assert from "node:assert/strict";
import test from "node:test";
import { connect } from "@berth/client";
import { cannotRun, Folder, startBerthd, startRegistry } from "../support/daemons.ts";
import { makeImage, ociArchive, tar } from "../support/images.ts";

const ROUNDS = 12;

test("concurrent pulls during collections lose nothing", {
  skip: cannotRun("/usr/bin/docker-registry"),
}, async (t) => {
  const folder = new Folder();
  const registry = await startRegistry(folder.path);
  const daemon = await startBerthd(folder.path);
  const client = connect({ address: daemon.socket });
  t.after(async () => {
    client.close();
    await daemon.stop();
    await registry.stop();
    await folder.remove();
  });
  // Images that share layers, so that one's removal meets another's pull.
  const layer = (text: string) => tar({ name: text, data: text.repeat(20_000) });
  const names = ["a", "b", "c"].map((name) => `${registry.host}/gc/${name}:1`);
  for (const [i, name] of names.entries()) {
    const layers = [layer("shared"), layer(`two${i % 2}`), layer(`own${i}`)];
    async function* archive() {
      yield ociArchive(makeImage(layers), name);
    }
    await client.images.load(archive());
    await client.images.push(name, name);
  }
  let pulling = true;
  const collecting = (async () => {
    while (pulling) await client.garbage.collect();
  })();
  for (let round = 0; round < ROUNDS; round++) {
    const [gone] = names.slice(round % 3);
    await client.images.remove(gone!).catch(() => {});
    await Promise.all(names.map((name) => client.images.pull(name)));
    for (const name of names) {
      const { manifest, chainId } = await client.images.resolve(await client.images.get(name));
      for (const { digest, size } of [manifest.config, ...manifest.layers])
        assert.equal((await client.content.info(digest)).size, size);
      assert.equal((await client.snapshots.stat(chainId)).kind, "committed");
    }
  }
  pulling = false;
  await collecting;
  for (const name of names) await client.images.remove(name);
  await client.garbage.collect();
  for await (const { digest } of client.content.list()) assert.fail(`${digest} is left`);
  for await (const { name } of client.snapshots.list()) assert.fail(`${name} is left`);
});
