import assert from "node:assert/strict";
import { test } from "node:test";
import {
  DEFAULT_CAPABILITIES,
  dockerSeccomp,
  SECCOMP_ACTIONS,
  SECCOMP_OPERATORS,
  type Seccomp,
  type SeccompArchitecture,
  type SeccompArg,
  type SeccompRule,
} from "@berth/oci";
import fc from "fast-check";
import { ARCHITECTURES } from "./architectures.ts";
import { compileSeccomp } from "./compile.ts";
import { returnValue } from "./decisions.ts";
import { simulate } from "./simulator.ts";
import { syscallsOf } from "./syscalls/index.ts";

const ALLOW = 0x7fff0000;
const ENOSYS = 0x00050026;

// A straightforward interpreter of profiles, for calls that are not multiplexed.
function naive(profile: Seccomp, arch: SeccompArchitecture, nr: number, args: readonly bigint[]): number {
  const facts = ARCHITECTURES[arch]!;
  const table = syscallsOf(arch)!;
  const fallback = returnValue(profile.defaultAction, profile.defaultErrnoRet);
  const rules = (profile.syscalls ?? []).filter(
    (rule) => returnValue(rule.action, rule.errnoRet) !== fallback,
  );
  const strict =
    ["SCMP_ACT_ERRNO", "SCMP_ACT_TRAP"].includes(profile.defaultAction) || /KILL/.test(profile.defaultAction);
  const named = (profile.syscalls ?? []).flatMap((rule) => rule.names.map((name) => table.get(name) ?? -1));
  if (strict && named.some((n) => n >= 0) && nr > Math.max(...named)) return ENOSYS;
  const mine = rules.filter((rule) => rule.names.some((name) => table.get(name) === nr));
  const plain = mine.find((rule) => !rule.args?.length);
  if (plain) return returnValue(plain.action, plain.errnoRet);
  for (const rule of mine) if (holds(rule, args, facts.bits)) return returnValue(rule.action, rule.errnoRet);
  return fallback;
}

function holds(rule: SeccompRule, args: readonly bigint[], bits: number): boolean {
  const results = rule.args!.map((arg) => compare(arg, BigInt.asUintN(bits, args[arg.index]!), bits));
  const repeated = new Set(rule.args!.map((arg) => arg.index)).size < rule.args!.length;
  return repeated ? results.some(Boolean) : results.every(Boolean);
}

function compare(arg: SeccompArg, actual: bigint, bits: number): boolean {
  const value = BigInt.asUintN(bits, BigInt(arg.value));
  switch (arg.op) {
    case "SCMP_CMP_EQ":
      return actual === value;
    case "SCMP_CMP_NE":
      return actual !== value;
    case "SCMP_CMP_LT":
      return actual < value;
    case "SCMP_CMP_LE":
      return actual <= value;
    case "SCMP_CMP_GT":
      return actual > value;
    case "SCMP_CMP_GE":
      return actual >= value;
    case "SCMP_CMP_MASKED_EQ":
      return (actual & value) === (value & BigInt(arg.valueTwo ?? 0));
  }
}

const run = (program: Uint8Array, arch: SeccompArchitecture, nr: number, args: readonly bigint[] = []) =>
  simulate(
    program,
    {
      nr: nr + (ARCHITECTURES[arch]!.offset ?? 0),
      arch: ARCHITECTURES[arch]!.audit,
      args: [0, 1, 2, 3, 4, 5].map((i) => args[i] ?? 0n),
    },
    ARCHITECTURES[arch]!.bigEndian,
  );

const interesting = fc.oneof(
  fc.constantFrom(0n, 1n, 2n, 0xffffffffn, 0x100000000n, 0x100000001n, 0xffffffffffffffffn, 0x7e020000n),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
);

test("compiled profiles decide as a naive interpreter does", () => {
  const names = fc.constantFrom(
    ..."read write openat clone ioctl futex prctl kill mmap cachestat no_such_call".split(" "),
  );
  const action = fc.constantFrom(...SECCOMP_ACTIONS.filter((a) => a !== "SCMP_ACT_NOTIFY"));
  const arg = fc.record({
    index: fc.integer({ min: 0, max: 5 }),
    value: interesting,
    valueTwo: interesting,
    op: fc.constantFrom(...SECCOMP_OPERATORS),
  });
  const rule = fc.record({
    names: fc.array(names, { minLength: 1, maxLength: 4 }),
    action,
    args: fc.array(arg, { maxLength: 3 }),
  });
  const profile = fc.record({ defaultAction: action, syscalls: fc.array(rule, { maxLength: 8 }) });
  const arch = fc.constantFrom<SeccompArchitecture>(
    "SCMP_ARCH_X86_64",
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390X",
  );
  fc.assert(
    fc.property(profile, arch, fc.array(interesting, { minLength: 6, maxLength: 6 }), (p, a, args) => {
      const { program } = compileSeccomp(p, a);
      const table = syscallsOf(a)!;
      for (const name of [
        "read",
        "write",
        "openat",
        "clone",
        "ioctl",
        "futex",
        "mmap",
        "cachestat",
        "mseal",
      ]) {
        const nr = table.get(name);
        if (nr === undefined) continue;
        // Comparisons fail first for values next to those in the profile.
        const near = p.syscalls.flatMap((r) => r.args.map((x) => x.value));
        for (const shift of [0n, 1n, -1n]) {
          const used = args.map((value, i) => (near[i] === undefined ? value : near[i] + shift));
          const unsigned = used.map((value) => BigInt.asUintN(64, value));
          assert.equal(run(program, a, nr, unsigned).value, naive(p, a, nr, unsigned) >>> 0, name);
        }
      }
    }),
    { numRuns: 300 },
  );
});

test("docker's profile compiles to a small and fast filter", () => {
  const profile = dockerSeccomp({ machine: "amd64", capabilities: DEFAULT_CAPABILITIES });
  const { program, flags, notify } = compileSeccomp(profile, "SCMP_ARCH_X86_64");
  assert.equal(notify, false);
  assert.equal(flags, 4);
  assert.ok(program.length / 8 < 400, `${program.length / 8} instructions`);
  for (const arch of ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"] as const) {
    for (const [name, nr] of syscallsOf(arch)!) {
      const { steps } = run(program, arch, nr);
      assert.ok(steps < 30, `${arch} ${name}: ${steps} steps`);
    }
    assert.equal(run(program, arch, syscallsOf(arch)!.get("read")!).value, ALLOW);
    assert.equal(run(program, arch, syscallsOf(arch)!.get("clone3")!).value, ENOSYS);
    assert.equal(run(program, arch, 0x3ff).value, ENOSYS);
  }
  const socket = syscallsOf("SCMP_ARCH_X86_64")!.get("socket")!;
  for (const [family, value] of [
    [1n, ALLOW],
    [38n, 0x50001],
    [39n, ALLOW],
    [40n, 0x50001],
    [41n, ALLOW],
  ] as const)
    assert.equal(run(program, "SCMP_ARCH_X86_64", socket, [family]).value, value);
  assert.equal(
    simulate(program, { nr: 0, arch: 0x28, args: [] }).value,
    0,
    "a foreign architecture is killed",
  );
});

test("notify requires a listener and is refused for write", () => {
  const rule = (names: string[]): Seccomp => ({
    defaultAction: "SCMP_ACT_ALLOW",
    listenerPath: "/run/x.sock",
    flags: ["SECCOMP_FILTER_FLAG_TSYNC"],
    syscalls: [{ names, action: "SCMP_ACT_NOTIFY" }],
  });
  const made = compileSeccomp(rule(["mount"]), "SCMP_ARCH_X86_64");
  assert.equal(made.notify, true);
  assert.equal(made.flags, 8, "TSYNC is dropped, as the process has one thread");
  assert.throws(
    () => compileSeccomp(rule(["write"]), "SCMP_ARCH_X86_64"),
    /cannot be used for the write syscall/,
  );
  const { listenerPath: _, ...deaf } = rule(["mount"]);
  assert.throws(() => compileSeccomp(deaf, "SCMP_ARCH_X86_64"), /listenerPath/);
  assert.throws(
    () => compileSeccomp({ defaultAction: "SCMP_ACT_NOTIFY" }, "SCMP_ARCH_X86_64"),
    /cannot be used as default action/,
  );
});

test("profiles that are too long and machines without tables are refused", () => {
  const syscalls: SeccompRule[] = Array.from({ length: 1100 }, (_, i) => ({
    names: ["ioctl"],
    action: "SCMP_ACT_ERRNO",
    args: [{ index: 1, value: BigInt(i) << 20n, op: "SCMP_CMP_EQ" }],
  }));
  assert.throws(
    () => compileSeccomp({ defaultAction: "SCMP_ACT_ALLOW", syscalls }, "SCMP_ARCH_X86_64"),
    /instructions, the kernel takes 4096/,
  );
  assert.throws(() => compileSeccomp({ defaultAction: "SCMP_ACT_ALLOW" }, "SCMP_ARCH_SH"), /no table/);
});
