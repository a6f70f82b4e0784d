/**
 * berth's seccomp compiler against libseccomp: both compile the same profiles, then both programs decide every system
 * call number of every architecture, with many argument values.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  CAPABILITIES,
  DEFAULT_CAPABILITIES,
  dockerSeccomp,
  SECCOMP_OPERATORS,
  type Seccomp,
  type SeccompArchitecture,
  type SeccompRule,
} from "@berth/oci";
import { ARCHITECTURES } from "../../packages/runtime/seccomp/architectures.ts";
import { compileSeccomp } from "../../packages/runtime/seccomp/compile.ts";
import { returnValue } from "../../packages/runtime/seccomp/decisions.ts";
import { simulate } from "../../packages/runtime/seccomp/simulator.ts";
import { syscallsOf } from "../../packages/runtime/seccomp/syscalls/index.ts";

// libseccomp's tokens are audit values, except x32's.
const tokenOf = (arch: SeccompArchitecture): number =>
  arch === "SCMP_ARCH_X32" ? 0x4000003e : ARCHITECTURES[arch]!.audit;

let folder = "";
let tool = "";
before(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-seccomp-"));
  tool = join(folder, "export");
  const source = join(import.meta.dirname, "seccomp/export.c");
  execFileSync("cc", ["-Wall", "-Werror", "-o", tool, source, "-lseccomp"]);
});
after(() => rmSync(folder, { recursive: true, force: true }));

// The filter that runc makes with libseccomp, without runc's own addition (see `enosys`).
function libseccomp(profile: Seccomp, native: SeccompArchitecture): Uint8Array | undefined {
  const fallback = returnValue(profile.defaultAction, profile.defaultErrnoRet) >>> 0;
  const lines = [`default ${fallback}`];
  for (const arch of profile.architectures ?? []) lines.push(`arch ${tokenOf(arch)}`);
  for (const rule of profile.syscalls ?? []) {
    const action = returnValue(rule.action, rule.errnoRet) >>> 0;
    if (action === fallback) continue;
    const args = (rule.args ?? []).map(
      (arg) => `${arg.index} ${SECCOMP_OPERATORS.indexOf(arg.op) + 1} ${arg.value} ${arg.valueTwo ?? 0}`,
    );
    const repeated = new Set(rule.args?.map((arg) => arg.index)).size < args.length;
    for (const name of rule.names)
      for (const words of repeated ? args : [args.join(" ")]) lines.push(`rule ${action} ${name} ${words}`);
  }
  const run = spawnSync(tool, [`${tokenOf(native)}`], { input: `${lines.join("\n")}\n`, maxBuffer: 1 << 24 });
  if (run.status === 17) return undefined;
  assert.equal(run.status, 0, run.stderr.toString());
  return run.stdout;
}

// For big-endian targets, libseccomp on a little-endian machine forgets to swap some return values.
const swapped = (value: number): number =>
  (((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;

// Calls that this libseccomp is too old for would make it look wrong.
function onlyKnown(profile: Seccomp): Seccomp {
  const names = [...new Set((profile.syscalls ?? []).flatMap((rule) => rule.names))];
  const answer = execFileSync(tool, ["names"], { input: `${names.join("\n")}\n`, encoding: "utf8" });
  const known = new Set(
    answer.split("\n").flatMap((line) => (line.endsWith(" 1") ? [line.slice(0, -2)] : [])),
  );
  const syscalls = (profile.syscalls ?? [])
    .map((rule) => ({ ...rule, names: rule.names.filter((name) => known.has(name)) }))
    .filter((rule) => rule.names.length > 0);
  return { ...profile, syscalls };
}

const MULTIPLEXED =
  /^(socket|bind|connect|listen|accept4?|get(sock|peer)name|socketpair|(send|recv)(to|from|msg|mmsg)?|shutdown|[gs]etsockopt|sem(op|get|ctl|timedop)|msg(snd|rcv|get|ctl)|shm(at|dt|get|ctl))$/;

// runc's own addition: calls newer than all of the profile's, on one architecture, return ENOSYS.
function enosys(
  profile: Seccomp,
  archs: readonly SeccompArchitecture[],
  arch: SeccompArchitecture,
  nr: number,
): boolean {
  if (!/ERRNO|KILL|TRAP/.test(profile.defaultAction)) return false;
  const lastOf = (a: SeccompArchitecture) =>
    Math.max(
      -1,
      ...(profile.syscalls ?? []).flatMap((rule) =>
        rule.names
          .filter((name) => !(ARCHITECTURES[a]!.multiplexed && MULTIPLEXED.test(name)))
          .map((name) =>
            syscallsOf(a)!.has(name) ? syscallsOf(a)!.get(name)! + (ARCHITECTURES[a]!.offset ?? 0) : -1,
          ),
      ),
    );
  const x32 = nr >= 0x40000000 && archs.includes("SCMP_ARCH_X32") && arch === "SCMP_ARCH_X86_64";
  const last = lastOf(x32 ? "SCMP_ARCH_X32" : arch);
  // A call named in a profile is meant, even where runc would only have seen the multiplexed twin.
  const named = (profile.syscalls ?? []).some((rule) =>
    rule.names.some((n) => syscallsOf(arch)!.get(n) === nr),
  );
  return last >= 0 && nr > last && !named;
}

function compare(profile: Seccomp, native: SeccompArchitecture, values: readonly bigint[]): number {
  const ours = compileSeccomp(profile, native).program;
  const theirs = libseccomp(profile, native);
  if (!theirs) return 0;
  const archs = [...new Set([native, ...(profile.architectures ?? [])])];
  const bigEndian = ARCHITECTURES[native]!.bigEndian ?? false;
  const conditional = new Set(
    archs.flatMap((arch) =>
      (profile.syscalls ?? [])
        .filter((rule) => rule.args?.length)
        .flatMap((rule) => rule.names.map((name) => syscallsOf(arch)!.get(name)))
        .concat(syscallsOf(arch)!.get("socketcall"), syscallsOf(arch)!.get("ipc")),
    ),
  );
  let compared = 0;
  for (const arch of archs.filter((a) => a !== "SCMP_ARCH_X32")) {
    const low = Array.from({ length: 1100 }, (_, i) => i);
    const special = [0xf0000, 0xf0001, 0xf0002, 0xf0005, 0xf0006, 0x7fffffff, 0x80000000, 0xffffffff];
    const x32 = arch === "SCMP_ARCH_X86_64" ? low.map((n) => n + 0x40000000) : [];
    for (const nr of [...low, ...special, ...x32]) {
      const few = !conditional.has(nr & 0xbfffffff);
      const samples = few ? [[0n, 0n, 0n, 0n, 0n, 0n]] : argumentSamples(values);
      for (const args of samples) {
        const data = { nr, arch: ARCHITECTURES[arch]!.audit, args };
        const expected: number = enosys(profile, archs, arch, nr)
          ? 0x50026
          : simulate(theirs, data, bigEndian).value;
        const found = simulate(ours, data, bigEndian).value;
        compared++;
        if (found !== expected && !(bigEndian && found === swapped(expected)))
          assert.fail(
            `${arch} nr ${nr} args ${args.map((v) => v.toString(16))}: libseccomp ${expected.toString(16)}, berth ${found.toString(16)}\n${JSON.stringify(profile, (_k, v) => (typeof v === "bigint" ? `${v}` : v))}`,
          );
      }
    }
  }
  for (const foreign of [0x28, 0xdeadbeef]) {
    const data = { nr: 0, arch: foreign, args: [0n, 0n, 0n, 0n, 0n, 0n] };
    const expected = simulate(theirs, data, bigEndian).value;
    assert.ok([expected, swapped(expected)].includes(simulate(ours, data, bigEndian).value));
  }
  return compared;
}

// A small generator with a fixed seed, so that a failure can be repeated.
let seed = 0x2545f491;
function random(below: number): number {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return Math.floor((seed / 2 ** 32) * below);
}
const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;

function argumentSamples(values: readonly bigint[]): bigint[][] {
  const near = values
    .flatMap((v) => [v, v + 1n, v - 1n, v ^ (1n << 32n), v | (1n << 63n)])
    .map((v) => BigInt.asUintN(64, v));
  const pool = [0n, 1n, 0xffffffffn, 1n << 32n, (1n << 64n) - 1n, ...near];
  const samples = pool.map((v) => [v, v, v, v, v, v]);
  for (let i = 0; i < 40; i++) samples.push(Array.from({ length: 6 }, () => pick(pool)));
  return samples;
}

const valuesOf = (profile: Seccomp): bigint[] =>
  (profile.syscalls ?? []).flatMap((r) =>
    (r.args ?? []).flatMap((a) => [BigInt(a.value), BigInt(a.valueTwo ?? 0)]),
  );

const FAMILIES: SeccompArchitecture[][] = [
  ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  ["SCMP_ARCH_X86_64"],
  ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
  ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
  ["SCMP_ARCH_AARCH64"],
  ["SCMP_ARCH_X86"],
  ["SCMP_ARCH_RISCV64"],
  ["SCMP_ARCH_S390X", "SCMP_ARCH_S390"],
  ["SCMP_ARCH_PPC64LE"],
];

test("docker's profile, for every machine and several sets of capabilities", () => {
  const machines = [
    ["amd64", 0],
    ["arm64", 3],
    ["s390x", 7],
    ["ppc64le", 8],
    ["riscv64", 6],
  ] as const;
  for (const [machine, family] of machines)
    for (const capabilities of [[], DEFAULT_CAPABILITIES, CAPABILITIES]) {
      const profile = onlyKnown(dockerSeccomp({ machine, capabilities }));
      compare({ ...profile, architectures: FAMILIES[family]! }, FAMILIES[family]![0]!, valuesOf(profile));
    }
});

test("every default action, with and without rules", () => {
  const actions = ["KILL", "KILL_PROCESS", "TRAP", "ERRNO", "TRACE", "ALLOW", "LOG"] as const;
  for (const action of actions)
    for (const architectures of FAMILIES.slice(0, 5)) {
      const syscalls: SeccompRule[] = [
        {
          names: ["read", "openat", "socket", "semop", "arch_prctl", "cacheflush"],
          action: "SCMP_ACT_ALLOW",
        },
        { names: ["ptrace"], action: "SCMP_ACT_ERRNO", errnoRet: 38 },
        { names: ["kexec_load"], action: "SCMP_ACT_KILL_PROCESS" },
      ];
      compare({ defaultAction: `SCMP_ACT_${action}`, architectures, syscalls }, architectures[0]!, []);
      compare(
        { defaultAction: `SCMP_ACT_${action}`, defaultErrnoRet: 7, architectures },
        architectures[0]!,
        [],
      );
    }
});

test("random profiles", () => {
  const names =
    "read write openat clone ioctl futex prctl kill mmap mmap2 socket connect sendto semop shmat personality waitpid statx pidfd_open futex_waitv clock_gettime64".split(
      " ",
    );
  const values = [0n, 1n, 2n, 5n, 0x7e020000n, 0xffffffffn, 0x100000000n, 0x1_0000_0001n, (1n << 64n) - 1n];
  let compared = 0;
  for (let round = 0; round < 60; round++) {
    const architectures = pick(FAMILIES);
    const actions = ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_LOG", "SCMP_ACT_TRAP"] as const;
    // Values outside an architecture's argument width are meaningless.
    const narrow = architectures.some((arch) => ARCHITECTURES[arch]!.bits === 32);
    const usable = narrow ? values.filter((value) => value <= 0xffffffffn) : values;
    const defaultAction = pick(["SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS"] as const);
    // libseccomp merges overlapping conditions on one call into a tree and loses some (those with NE and LE on
    // one argument, for instance), so each call has one rule with conditions; compile.test.ts has the rest.
    const conditional = new Set<string>();
    const syscalls: SeccompRule[] = [];
    for (let i = random(10); i >= 0; i--) {
      const name = pick(names);
      if (random(3) === 0) syscalls.push({ names: [name, pick(names)], action: pick(actions), errnoRet: 3 });
      else {
        if (conditional.has(name)) continue;
        conditional.add(name);
        const indexes = [0, 1, 2, 3, 4, 5].sort(() => random(3) - 1).slice(0, 1 + random(3));
        if (random(6) === 0) indexes.push(indexes[0]!);
        syscalls.push({
          names: [name],
          action: pick(actions),
          errnoRet: 5,
          args: indexes.map((index) => {
            const value = pick(usable);
            return { index, op: pick(SECCOMP_OPERATORS), value, valueTwo: value & pick(usable) };
          }),
        });
      }
    }
    const profile: Seccomp = { defaultAction, architectures, syscalls };
    if (compare(profile, architectures[0]!, valuesOf(profile)) > 0) compared++;
  }
  assert.ok(compared >= 30, `only ${compared} profiles could be compared`);
});
