/**
 * berth with one defence removed, so that a test of the defence can be shown to fail without it: berth-init built
 * from modified sources, or a plan that is modified before it is run.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  copyFileSync,
  cpSync,
  globSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { realSys, type Sys } from "@berth/sys";
import { readBundle } from "../../packages/runtime/container/bundle.ts";
import { planContainer } from "../../packages/runtime/container/plan-container.ts";
import { launch } from "../../packages/runtime/launch/launch.ts";
import type { Operation, Plan, SectionName } from "../../packages/runtime/plan/operations.ts";
import { openRuntime } from "../../packages/runtime/state/runtime.ts";
import type { Bundle } from "./bundles.ts";
import { ROOT } from "./checkout.ts";

/** Builds berth-init with `from` replaced by `to` in one of its files; returns the folder for BERTH_LIB. */
export function weakenedInit(t: TestContext, file: string, from: string, to: string): string {
  const folder = mkdtempSync(join(tmpdir(), "berth-weak-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const sources = join(folder, "init");
  cpSync(join(ROOT, "native/init"), sources, { recursive: true });
  const text = readFileSync(join(sources, file), "utf8");
  assert.equal(text.split(from).length, 2, `${file} has the defence in one place: ${from}`);
  writeFileSync(join(sources, file), text.replace(from, to));
  const machine = execFileSync("gcc", ["-print-multiarch"], { encoding: "utf8" }).trim();
  const includes = ["-idirafter", "/usr/include", "-idirafter", `/usr/include/${machine}`];
  const out = join(folder, "berth-init");
  execFileSync("musl-gcc", [
    ...["-O0", "-w", "-std=gnu11", "-D_GNU_SOURCE", "-static", ...includes, "-o", out],
    ...globSync(join(sources, "*.c")),
  ]);
  copyFileSync(join(ROOT, "lib/berth/berth-sys.node"), join(folder, "berth-sys.node"));
  return folder;
}

/** A plan with `change` applied to the operations of one section; undefined drops an operation. */
export function changePlan(
  plan: Plan,
  section: SectionName,
  change: (op: Operation) => Operation | undefined,
): Plan {
  const operations = plan.sections[section].map(change).filter((op) => op !== undefined);
  return { ...plan, sections: { ...plan.sections, [section]: operations } };
}

/**
 * Runs a bundle to its end in this process, with a modified plan (and machine): returns the exit code, and the output
 * of the container and of berth. Leaves no record of a container; its cgroup is removed.
 */
export async function runChanged(
  b: Bundle,
  change: (plan: Plan) => Plan,
  machine: Partial<Sys> = {},
): Promise<{ code: number; text: string }> {
  const sys: Sys = { ...realSys, ...machine };
  const runtime = openRuntime(sys, b.root);
  const log = join(b.folder, "changed.log");
  const [nothing, out] = [openSync("/dev/null", "r"), openSync(log, "w")];
  try {
    const { plan, record } = await planContainer(runtime, readBundle(runtime, b.folder), {
      id: b.id,
      bundle: b.folder,
      rootMounts: [],
      gate: false,
      wait: true,
      noPivot: false,
      noNewKeyring: false,
      attachment: { kind: "inherit" },
      stdio: [nothing, out, out],
      inherited: [],
      preserved: [],
    });
    try {
      const options = { name: b.id, stdio: [nothing, out, out] as const, inherited: [] };
      const launched = await launch(sys, { plan: change(plan), ...options });
      return { code: await launched.exit(), text: readFileSync(log, "utf8") };
    } catch (error) {
      return { code: -1, text: String(error) };
    } finally {
      const { removeCgroup } = await import("../../packages/runtime/cgroups/processes.ts");
      await removeCgroup(sys, record.cgroup);
    }
  } finally {
    closeSync(nothing);
    closeSync(out);
  }
}
