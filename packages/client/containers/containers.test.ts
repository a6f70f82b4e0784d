import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { attachedIO } from "./attached-io.ts";
import { isContainerName, newId, randomName } from "./names.ts";
import { layersOf, readRootfsFile } from "./rootfs-files.ts";

test("names and ids", () => {
  assert.match(newId(), /^[0-9a-f]{64}$/);
  assert.ok(isContainerName(randomName()));
  for (const bad of ["", "a", "-a", "a/b", "ä1"]) assert.ok(!isContainerName(bad), bad);
});

test("files of a rootfs are read from its layers only", () => {
  const folder = mkdtempSync(join(tmpdir(), "berth-rootfs-"));
  try {
    for (const layer of ["upper", "low1", "low2"]) mkdirSync(join(folder, layer, "etc"), { recursive: true });
    writeFileSync(join(folder, "low2/etc/passwd"), "old");
    writeFileSync(join(folder, "low1/etc/passwd"), "new");
    writeFileSync(join(folder, "secret"), "secret");
    symlinkSync(join(folder, "secret"), join(folder, "low1/etc/group"));
    const options = [
      `lowerdir=${folder}/low1:${folder}/low2`,
      `upperdir=${folder}/upper`,
      `workdir=${folder}/w`,
    ];
    const layers = layersOf([{ type: "overlay", source: "overlay", target: "", options }]);
    assert.equal(layers.length, 3);
    assert.equal(readRootfsFile(layers, "etc/passwd"), "new");
    assert.equal(readRootfsFile(layers, "etc/group"), "");
    assert.equal(readRootfsFile(layers, "etc/shadow"), "");
    const bind = layersOf([{ type: "bind", source: `${folder}/low2`, target: "", options: ["rbind"] }]);
    assert.equal(readRootfsFile(bind, "etc/passwd"), "old");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("streams as the daemon takes them", () => {
  const fifos = { stdin: "/f/stdin", stdout: "/f/stdout", stderr: "" } as Parameters<typeof attachedIO>[2];
  const io = attachedIO("/l/c.log", true, fifos);
  assert.equal(new URL(io.stdout).searchParams.get("attach"), "/f/stdout");
  assert.equal(io.stderr, "");
});
