/**
 * Whether this machine's CRIU is usable. It must match the kernel: Debian 12's does not support Linux 6.12 and later.
 * BERTH_TEST_CRIU names the folder of another one.
 */
import { spawnSync } from "node:child_process";

const folder = process.env.BERTH_TEST_CRIU;
if (folder !== undefined) process.env.PATH = `${folder}:${process.env.PATH}`;
const check = spawnSync("criu", ["check"], { encoding: "utf8", timeout: 30_000 });

/** Why tests of checkpoints are skipped; false if they are not. */
export const skipWithoutCriu: string | false =
  check.error !== undefined
    ? "criu is not installed"
    : check.status !== 0
      ? `criu does not work on this kernel: ${check.stderr.trim().split("\n").at(-1)}`
      : false;
