/** Bundles for tests of the runtime, and checks for leftovers of a test. */

import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { defaultSpec, type Spec } from "@berth/oci";
import { BIN } from "./checkout.ts";

export const BERTH_RUNC = join(BIN, "berth-runc");

const APPLETS =
  "sh ls tr true false cat ps id mount sleep echo env hostname tty stty head mkdir touch rm grep pwd ulimit readlink stat wc dd ip kill sync unshare".split(
    " ",
  );

/** Fills a folder with a root file system: busybox and its applets. */
export function makeRootfs(folder: string): void {
  for (const name of ["bin", "etc", "root", "tmp", "proc", "sys", "dev"])
    mkdirSync(join(folder, name), { recursive: true });
  copyFileSync("/bin/busybox", join(folder, "bin/busybox"));
  chmodSync(join(folder, "bin/busybox"), 0o755);
  for (const name of APPLETS) symlinkSync("busybox", join(folder, "bin", name));
  writeFileSync(
    join(folder, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n",
  );
}

/** A bundle, a separate runtime root, and the runtime's verbs on them. */
export interface Bundle {
  folder: string;
  rootfs: string;
  root: string;
  id: string;
  /** Writes config.json: the default spec, changed. */
  configure(change: (spec: Spec) => void): void;
  /** Sets the arguments of the process. */
  args(...args: string[]): void;
  /** Runs a verb of berth-runc; at most 20 seconds. */
  runc(...args: string[]): SpawnSyncReturns<string>;
  /** The same for commands that leave a process behind, which would hold on to our pipes: output is discarded. */
  detached(...args: string[]): number | null;
}

let count = 0;

/** Creates a bundle; the end of the test removes it, with the container if it still exists. */
export function makeBundle(t: TestContext): Bundle {
  const folder = mkdtempSync(join(tmpdir(), "berth-bundle-"));
  const rootfs = join(folder, "rootfs");
  const root = join(folder, "run");
  const id = `test-${process.pid}-${++count}`;
  makeRootfs(rootfs);
  let current: (spec: Spec) => void = () => {};
  const write = (args: string[] | undefined) => {
    const spec = defaultSpec();
    spec.process!.terminal = false;
    if (args) spec.process!.args = args;
    current(spec);
    writeFileSync(join(folder, "config.json"), JSON.stringify(spec));
  };
  write(["true"]);
  const bundle: Bundle = {
    folder,
    rootfs,
    root,
    id,
    configure: (change) => {
      current = change;
      write(undefined);
    },
    args: (...args) => write(args),
    runc: (...args) =>
      spawnSync(BERTH_RUNC, ["--root", root, ...args], {
        encoding: "utf8",
        timeout: 20_000,
        cwd: folder,
        stdio: ["ignore", "pipe", "pipe"],
      }),
    detached: (...args) =>
      spawnSync(BERTH_RUNC, ["--root", root, ...args], { timeout: 20_000, cwd: folder, stdio: "ignore" })
        .status,
  };
  t.after(() => {
    bundle.runc("delete", "--force", id);
    rmSync(folder, { recursive: true, force: true });
  });
  return bundle;
}

/** Runs the container in the foreground; asserts nothing. */
export function runBundle(bundle: Bundle, ...args: string[]): SpawnSyncReturns<string> {
  bundle.args(...args);
  return bundle.runc("run", bundle.id);
}

/** Runs it and returns its output; fails with its errors unless it exits with 0. */
export function output(bundle: Bundle, ...args: string[]): string {
  const result = runBundle(bundle, ...args);
  assert.equal(result.status, 0, `${result.stderr}${result.stdout}`);
  return result.stdout;
}

/**
 * State that must be the same before and after a test: mounts of bundles, this process's cgroups and its berth-inits.
 */
export function traces(): string[] {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((l) => l.split(" ")[4] ?? "")
    .filter((m) => m.includes("berth-bundle-") || m.includes("berth-shim-"));
  const cgroups = globSync(`/sys/fs/cgroup/*/test-${process.pid}-*`);
  const inits = readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid) || !existsSync(`/proc/${pid}/cmdline`)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith(`berth-init\0test-${process.pid}-`);
    } catch {
      return false;
    }
  });
  return [...mounts, ...cgroups, ...inits.map((pid) => `process ${pid}`)].sort();
}
