/** containerd's own client library, in a Go program (test/go), against berthd: one subtest for each step it prints. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { cannotRun, Folder, run, startBerthd, startRegistry } from "../support/daemons.ts";
import { buildGoClient, cannotBuildGo } from "../support/go-chroot.ts";
import { busyboxLayer, makeImage, ociArchive, platformsArchive, tar } from "../support/images.ts";

const skip = cannotRun("/usr/bin/skopeo", "/usr/bin/docker-registry") ?? cannotBuildGo();

/** The program bounds each step by 20 seconds, and has about fifteen. */
const TIMEOUT_MS = 300_000;

test("containerd's client library", { skip, timeout: 2 * TIMEOUT_MS }, async (t) => {
  const folder = new Folder();
  t.after(() => folder.remove());
  const build = join(folder.path, "build");
  mkdirSync(build);
  const program = buildGoClient(build);
  const registry = await startRegistry(folder.path);
  t.after(() => registry.stop());
  const daemon = await startBerthd(folder.path);
  t.after(() => daemon.stop());

  const push = async (name: string, archive: Buffer) => {
    const path = join(folder.path, `${name}.tar`);
    const ref = `${registry.host}/${name}:1`;
    writeFileSync(path, archive);
    const args = ["copy", "--all", "--dest-tls-verify=false", `oci-archive:${path}`, `docker://${ref}`];
    const pushed = await run("/usr/bin/skopeo", args);
    assert.equal(pushed.code, 0, pushed.stderr);
    return ref;
  };
  const ref = await push("busybox", ociArchive(makeImage([busyboxLayer()]), "busybox:1"));
  const images = ["amd64", "s390x"].map((architecture) => {
    const layer = tar({ name: "platform", data: architecture });
    return { architecture, image: makeImage([layer], "gzip", {}, architecture) };
  });
  const platformsRef = await push("platforms", platformsArchive(images, "platforms:1").archive);

  const { stdout, stderr } = await new Promise<{ stdout: string; stderr: string }>((resolve) =>
    execFile(program, [daemon.socket, ref, platformsRef], { timeout: TIMEOUT_MS }, (_, stdout, stderr) =>
      resolve({ stdout, stderr }),
    ),
  );
  const lines = stdout.split("\n").filter((line) => line !== "");
  for (const line of lines) {
    const step = /^(not )?ok ([^:]+)(?:: .*)?$/.exec(line);
    await t.test(step?.[2] ?? line, () =>
      assert.ok(step !== null && step[1] === undefined, `${line}\n${stderr}`),
    );
  }
  assert.equal(lines.at(-1), "ok the end", `the program ended early: ${stdout}${stderr}`);
});
