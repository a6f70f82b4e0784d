/**
 * What an ordinary user can read of containers: nothing, whatever their options, and also in directories of an
 * earlier, laxer version.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { realSys } from "@berth/sys";
import { Lane } from "../crash/lane.ts";
import { cannotRun } from "../support/daemons.ts";
import { until } from "../support/until.ts";

const skip = cannotRun("/bin/busybox", "/usr/bin/containerd-shim-runc-v2", "/usr/sbin/runc") ?? false;
realSys.becomeSubreaper();

const NOBODY = 65534;
const SECRET = "topsecret-5b1e";

/** Everything below a folder, as root sees it. */
function everything(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    const isFolder = lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
    // Files in root file systems have the image's modes; the path to them is what counts.
    return [path, ...(isFolder && !/\/(fs|rootfs)$/.test(path) ? everything(path) : [])];
  });
}

/** The paths that an ordinary user may read or write, knowing their names. */
function readable(paths: readonly string[]): string[] {
  const script = 'while IFS= read -r p; do if [ -r "$p" ] || [ -w "$p" ]; then echo "$p"; fi; done';
  const { stdout, status } = spawnSync("/bin/busybox", ["sh", "-c", script], {
    input: `${paths.join("\n")}\n`,
    encoding: "utf8",
    uid: NOBODY,
    gid: NOBODY,
    cwd: "/",
  });
  assert.equal(status, 0);
  return stdout.split("\n").filter(Boolean);
}

test("an ordinary user reads nothing of containers, images and logs", { skip }, async (t) => {
  const on = new Lane(`private-${process.pid}`);
  t.after(() => on.close());
  // The test's own folder must not hide what is below.
  execFileSync("chmod", ["755", on.folder]);
  await on.up();
  await on.load();
  const running = async (name: string, ...more: string[]) => {
    const script = `echo ${SECRET}; sleep 1000`;
    const words = [
      "run",
      "-d",
      "--name",
      name,
      "-e",
      `TOKEN=${SECRET}`,
      ...more,
      on.image,
      "sh",
      "-c",
      script,
    ];
    await on.must(...words);
    await until(`${name} has logged`, async () => (await on.must("logs", name)) === SECRET || undefined);
  };
  await running("plain");
  await running("foreign", "--runtime", "io.containerd.runc.v2");
  const client = on.client();
  t.after(() => client.close());
  const remapped = async (name: string, ...more: string[]) => {
    await on.must("create", "--name", name, "-e", `TOKEN=${SECRET}`, ...more, on.image, "sleep", "1000");
    const made = (await client.containers.list()).find(({ labels }) => labels["berth/name"] === name)!;
    const spec = made.spec();
    const map = [{ containerID: 0, hostID: 200_000, size: 65_536 }];
    const namespaces = [...(spec.linux!.namespaces ?? []), { type: "user" as const }];
    // Without sysctls, which name unmapped groups.
    const linux = { ...spec.linux, namespaces, uidMappings: map, gidMappings: map, sysctl: {} };
    await (await made.setSpec({ ...spec, linux })).start();
    assert.equal((await made.taskState())?.status, "running");
  };
  await remapped("remapped");
  await remapped("foreign-remapped", "--runtime", "io.containerd.runc.v2");

  const folders = [join(on.folder, "root"), join(on.folder, "state")];
  const all = () => [...folders, ...folders.flatMap(everything)];
  assert.ok(all().some((path) => path.endsWith("/metadata.db-wal")));
  assert.ok(all().some((path) => path.endsWith("/container.log")));
  assert.ok(all().some((path) => path.endsWith("/config.json")));
  assert.deepEqual(readable(all()), []);

  // As an earlier version left it, open to everyone.
  await on.down();
  for (const path of ["", "/content", "/logs", "/snapshots"])
    execFileSync("chmod", ["755", `${on.folder}/root${path}`]);
  execFileSync("chmod", ["644", `${on.folder}/root/metadata.db`, `${on.folder}/root/metadata.db-wal`]);
  execFileSync("chmod", [
    "755",
    `${on.folder}/state/keepers`,
    `${on.folder}/state/io.containerd.runtime.v2.task`,
  ]);
  assert.notDeepEqual(readable(all()), []);
  await on.up();
  assert.deepEqual(readable(all()), []);
  for (const name of ["plain", "foreign", "remapped", "foreign-remapped"]) await on.must("rm", "-f", name);
});
