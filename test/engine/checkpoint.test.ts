/** ctr's checkpoints against berthd: an image of a container's processes, and a container restored from it. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { skipWithoutCriu } from "../support/criu.ts";
import { Folder, startBerthd } from "../support/daemons.ts";
import { busyboxLayer, makeImage, ociArchive } from "../support/images.ts";

const NAME = "docker.io/library/bb:1";
const COUNT = "i=0; while true; do i=$((i+1)); echo $i > /tmp/count; sleep 0.05; done";

test("ctr checkpoints a container and restores it", { skip: skipWithoutCriu }, async (t) => {
  const folder = new Folder();
  const daemon = await startBerthd(folder.path);
  t.after(async () => {
    for (const id of ["first", "second"]) {
      await daemon.ctr("tasks", "kill", "-s", "KILL", id);
      await daemon.ctr("tasks", "rm", "-f", id);
    }
    await daemon.stop();
    await folder.remove();
  });
  const ctr = async (...args: string[]) => {
    const ran = await daemon.ctr(...args);
    assert.equal(ran.code, 0, `ctr ${args.join(" ")}: ${ran.stderr}`);
    return ran.stdout;
  };
  const count = async (id: string, exec: string) =>
    Number(await ctr("tasks", "exec", "--exec-id", exec, id, "cat", "/tmp/count"));
  const archive = join(folder.path, "bb.tar");
  writeFileSync(archive, ociArchive(makeImage([busyboxLayer()]), NAME));
  await ctr("images", "import", archive);
  await ctr("run", "-d", NAME, "first", "sh", "-c", COUNT);
  await sleep(500);
  const before = await count("first", "a");
  assert.ok(before > 3);
  await ctr("containers", "checkpoint", "--rw", "--task", "first", "example.org/count:1");
  assert.match(await ctr("images", "ls", "-q"), /example.org\/count:1/);
  await ctr("tasks", "kill", "-s", "KILL", "first");
  await ctr("tasks", "rm", "-f", "first");
  await ctr("containers", "rm", "first");
  await ctr("containers", "restore", "--rw", "--live", "second", "example.org/count:1");
  const again = await count("second", "b");
  assert.ok(again >= before, `${again} is not after ${before}`);
  await sleep(300);
  assert.ok((await count("second", "c")) > again, "it goes on");
});
