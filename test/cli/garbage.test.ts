/** berth why and berth gc. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connect } from "@berth/client";
import { type Cli, startCli } from "../support/cli.ts";

let cli: Cli;
before(async () => {
  cli = await startCli();
});
after(async () => {
  assert.deepEqual(await cli.close(), [], "nothing is left behind");
});

const berth = async (...args: string[]) => {
  const ran = await cli.berth(args);
  assert.equal(ran.code, 0, ran.err);
  return ran.out;
};

test("why shows the chain that keeps an object", async () => {
  const id = (await berth("create", "--name", "keeps", "busybox", "true")).trim();
  const [digest] = (await berth("inspect", "-f", "{{index .RootFS.Layers 0}}", "busybox")).trim().split("\n");
  // The bottom layer's snapshot is named by its digest.
  assert.match(
    await berth("why", digest!),
    /^(image|container) \S+ keeps\n( +\S+ \S+.* keeps\n)* +snapshot sha256:\S+ \(overlayfs\)\n$/,
  );
  assert.match(
    await berth("why", id),
    new RegExp(`^container ${id}: kept for itself\ncontainer ${id} keeps\n +snapshot ${id} `),
  );
  assert.match(await berth("why", "docker.io/library/busybox:latest"), /^image \S+: kept for itself\n$/);
  const none = await cli.berth(["why", "nothing"]);
  assert.equal(none.code, 1);
  assert.match(none.err, /"nothing": no such object in namespace default/);
  await berth("rm", "keeps");
});

test("gc shows with --dry-run what it removes without", async () => {
  const client = connect({ address: cli.address });
  try {
    // Nothing is left to collect: the snapshot has time.
    await berth("gc");
    await client.snapshots.prepare("stray", "", {});
    const stray = "snapshot stray\n";
    assert.equal(await berth("gc", "--dry-run"), stray);
    assert.match(await berth("why", "stray"), /nothing keeps it; the next collection removes it/);
    assert.equal(await berth("gc"), stray);
    assert.equal(await berth("gc"), "");
  } finally {
    client.close();
  }
});
