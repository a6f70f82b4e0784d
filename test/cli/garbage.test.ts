/** berth why, berth gc and berth df. */
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

test("df shows who owns the disk, what is shared, and what nobody owns", async () => {
  const client = connect({ address: cli.address });
  try {
    await berth("gc");
    const before = JSON.parse(await berth("df", "--json"));
    const image = before.owners.find(({ object }: { object: { kind: string } }) => object.kind === "image");
    assert.ok(image.own.content > 0 && image.own.snapshots > 0);
    assert.deepEqual(before.unowned, { content: 0, snapshots: 0, logs: 0 });
    assert.deepEqual(before.total.content, image.own.content);
    const writes = "head -c 2000000 /dev/zero > /big; head -c 3000 /dev/zero | tr '\\0' x";
    const id = (await berth("run", "-d", "--name", "writes", "busybox", "sh", "-c", writes)).trim();
    await berth("wait", "writes");
    await client.snapshots.prepare("stray", "", {});
    const { owners, unowned } = await client.garbage.usage();
    const [container] = owners.filter(({ object }) => object.kind === "container");
    assert.equal(container!.object.name, id);
    assert.ok(container!.own.snapshots >= 2_000_000, JSON.stringify(container));
    assert.ok(container!.own.logs >= 3000, JSON.stringify(container));
    assert.equal(container!.shared.snapshots, image.own.snapshots, "the layers are the image's, too");
    const shared = owners.find(({ object }) => object.kind === "image")!;
    assert.deepEqual([shared.own.snapshots, shared.own.content], [0, image.own.content]);
    assert.equal(unowned.content, 0);
    assert.match(
      await berth("df"),
      /^OWNER +OWN +SHARED +BLOBS +FILES +LOGS *\ncontainer [^\n]*\n(.*\n)*nobody .*\ntotal /,
    );
    await berth("rm", "writes");
  } finally {
    client.close();
  }
});
