/** berth-runc beside runc and crun: run, create+start+delete, exec, state. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultSpec, dockerSeccomp, machineOfNodeArch, type Spec } from "@berth/oci";
import { BERTH_RUNC, makeRootfs } from "../test/support/bundles.ts";
import { type Contender, compare, head, row, runProgram } from "./measure.ts";

const ROUNDS = 30;

interface Runtime {
  name: string;
  path: string;
}

/** The installed runtimes. */
function runtimes(): Runtime[] {
  return [
    { name: "berth-runc", path: BERTH_RUNC },
    { name: "runc", path: "/usr/sbin/runc" },
    { name: "crun", path: "/usr/bin/crun" },
  ].filter((r) => existsSync(r.path));
}

function bundle(
  folder: string,
  name: string,
  args: string[],
  change: (spec: Spec) => void = () => {},
): string {
  const path = join(folder, name);
  makeRootfs(join(path, "rootfs"));
  const spec = defaultSpec();
  spec.process!.terminal = false;
  spec.process!.args = args;
  change(spec);
  writeFileSync(join(path, "config.json"), JSON.stringify(spec));
  return path;
}

async function must(argv: string[]): Promise<number> {
  const { ms, code } = await runProgram(argv);
  if (code !== 0) throw new Error(`exit ${code} of ${argv.slice(3, 5).join(" ")}`);
  return ms;
}

const CREATED = 100;

/** Memory of containers that wait for start: the proportional set size of all their processes, in kB each. */
async function heldByCreated(r: Runtime, bundle: string, root: string): Promise<string> {
  const ids = Array.from({ length: CREATED }, (_, i) => `bench-held-${i}`);
  const call = (...args: string[]) => must([r.path, "--root", root, ...args]);
  const pidFile = join(root, "..", `pid-${r.name}`);
  let sum = 0;
  try {
    const pids: string[] = [];
    for (const id of ids) {
      await call("create", "--bundle", bundle, "--pid-file", pidFile, id);
      pids.push(readFileSync(pidFile, "utf8").trim());
    }
    for (const pid of pids)
      sum += Number(/^Pss: +(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0);
  } finally {
    for (const id of ids) await call("delete", "--force", id).catch(() => 0);
  }
  return (sum / CREATED).toFixed(0);
}

/** Measures and prints the table. */
export async function benchRuntime(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "berth-bench-"));
  const all = runtimes();
  const rootOf = (r: Runtime) => join(folder, `root-${r.name}`);
  const call = (r: Runtime, ...args: string[]) => must([r.path, "--root", rootOf(r), ...args]);
  try {
    const plain = bundle(folder, "plain", ["true"]);
    const filtered = bundle(folder, "seccomp", ["true"], (s) => {
      s.linux!.seccomp = dockerSeccomp({
        machine: machineOfNodeArch(process.arch)!,
        capabilities: s.process!.capabilities!.bounding!,
      });
    });
    const sleeping = bundle(folder, "sleep", ["sleep", "1000"]);
    const each = (once: (r: Runtime, round: number) => Promise<number>): Contender[] =>
      all.map((r) => ({ name: r.name, once: (round) => once(r, round) }));
    console.log(head(all.map((r) => r.name)));
    const show = async (work: string, contenders: Contender[]) =>
      console.log(row(work, "berth-runc", await compare(contenders, ROUNDS)));
    await show(
      "run of `true`",
      each((r, n) => call(r, "run", "--bundle", plain, `bench-${n}`)),
    );
    await show(
      "run of `true`, docker's seccomp profile",
      each((r, n) => call(r, "run", "--bundle", filtered, `bench-${n}`)),
    );
    await show(
      "create + start + delete",
      each((r, n) =>
        call(r, "create", "--bundle", plain, `bench-${n}`)
          .then(async (ms) => ms + (await call(r, "start", `bench-${n}`)))
          .then(async (ms) => ms + (await call(r, "delete", "--force", `bench-${n}`))),
      ),
    );
    const running: Runtime[] = [];
    for (const r of all) {
      await call(r, "run", "--detach", "--bundle", sleeping, `bench-${r.name}`).then(
        () => running.push(r),
        () => undefined,
      );
    }
    const live = (once: (r: Runtime) => Promise<number>): Contender[] =>
      all.map((r) => ({
        name: r.name,
        once: () => (running.includes(r) ? once(r) : must(["/bin/false", "", "", "run", "--detach"])),
      }));
    await show(
      "exec of `true`",
      live((r) => call(r, "exec", `bench-${r.name}`, "true")),
    );
    await show(
      "state",
      live((r) => call(r, "state", `bench-${r.name}`)),
    );
    for (const r of running) await call(r, "delete", "--force", `bench-${r.name}`);
    const held: string[] = [];
    for (const r of all)
      held.push(await heldByCreated(r, plain, rootOf(r)).catch((e: Error) => `fails: ${e.message}`));
    console.log(`\n| kB PSS per created container, at ${CREATED} | ${all.map((r) => r.name).join(" | ")} |`);
    console.log(`|${"---|".repeat(all.length + 1)}\n| | ${held.join(" | ")} |`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
