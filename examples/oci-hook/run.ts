/**
 * Makes a bundle whose config.json names the hook, and runs it with berth-runc.
 *
 *     node examples/oci-hook/run.ts ROOTFS OWNER COMMAND [ARG...]    # as root; an empty OWNER is refused by the hook
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const [rootfs, owner, ...command] = process.argv.slice(2);
if (rootfs === undefined || owner === undefined || command.length === 0) {
  console.error("usage: run.ts ROOTFS OWNER COMMAND [ARG...]");
  process.exit(2);
}
const { BERTH_RUNC: runc = join(import.meta.dirname, "../../bin/berth-runc") } = process.env;
const bundle = mkdtempSync(join(tmpdir(), "berth-hook-"));
try {
  execFileSync(runc, ["spec", "--bundle", bundle]);
  const file = join(bundle, "config.json");
  const spec = JSON.parse(readFileSync(file, "utf8"));
  spec.root.path = resolve(rootfs);
  Object.assign(spec.process, { args: command, terminal: false });
  if (owner !== "") spec.annotations = { "org.example.owner": owner };

  // The essential part. The hook runs before the container's root is entered, with access to the host's files; the
  // path is absolute, args[0] is the program's name, and the environment is empty except for `env`.
  const record = join(bundle, "record");
  spec.hooks = {
    createRuntime: [
      {
        path: process.execPath,
        args: ["node", join(import.meta.dirname, "hook.ts"), record],
        env: ["PATH=/usr/bin:/bin"],
        timeout: 10,
      },
    ],
  };
  writeFileSync(file, JSON.stringify(spec, null, 2));

  const { status } = spawnSync(runc, ["run", "--bundle", bundle, `hook-${process.pid}`], {
    stdio: "inherit",
  });
  process.exitCode = status ?? 1;
  if (status === 0) process.stdout.write(`the hook's record: ${readFileSync(record, "utf8")}`);
} finally {
  rmSync(bundle, { recursive: true, force: true });
}
