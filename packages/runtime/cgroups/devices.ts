/** Device access rules: version 1 lines, and an eBPF program for version 2 (BPF_PROG_TYPE_CGROUP_DEVICE). Pure. */
import { present } from "@berth/base";
import type { DeviceRule } from "@berth/oci";

const any = undefined;
/** Rules appended to every container's, as in runc and crun: access to the default devices, mknod of any device. */
export const DEFAULT_DEVICE_RULES: readonly DeviceRule[] = (
  [
    ["c", any, any, "m"],
    ["b", any, any, "m"],
    ["c", 1, 3, "rwm"], // null
    ["c", 1, 5, "rwm"], // zero
    ["c", 1, 7, "rwm"], // full
    ["c", 1, 8, "rwm"], // random
    ["c", 1, 9, "rwm"], // urandom
    ["c", 5, 0, "rwm"], // tty
    ["c", 136, any, "rwm"], // pts
    ["c", 5, 2, "rwm"], // ptmx
  ] as const
).map(([type, major, minor, access]) => ({
  allow: true,
  type,
  access,
  ...present({ major, minor }),
}));

const orWildcard = (n: DeviceRule["major"]) => (n === undefined || BigInt(n) < 0n ? "*" : String(n));

/** Formats a rule for devices.allow or devices.deny. */
export function v1DeviceWrite(rule: DeviceRule): { file: string; value: string } {
  const type = rule.type === undefined || rule.type === "" ? "a" : rule.type;
  const access = rule.access?.replace(/[^rwm]/g, "") || "rwm";
  const value =
    type === "a" && orWildcard(rule.major) === "*" && orWildcard(rule.minor) === "*"
      ? "a"
      : `${type} ${orWildcard(rule.major)}:${orWildcard(rule.minor)} ${access}`;
  return { file: rule.allow ? "devices.allow" : "devices.deny", value };
}

// eBPF: struct bpf_cgroup_dev_ctx { u32 access_type (access << 16 | type); u32 major; u32 minor; }
const TYPES: Record<string, number> = { b: 1, c: 2 };
const ACCESS: Record<string, number> = { m: 1, r: 2, w: 4 };

interface Instruction {
  code: number;
  dst?: number;
  src?: number;
  off?: number;
  imm?: number;
}
const LDX_W = 0x61;
const AND32_K = 0x54;
const RSH32_K = 0x74;
const MOV32_X = 0xbc;
const MOV64_K = 0xb7;
const JNE_K = 0x55;
const JNE_X = 0x5d;
const EXIT = 0x95;

/** Code that returns the rule's verdict if it covers the access, and otherwise falls through to the next block. */
function ruleBlock(rule: DeviceRule): Instruction[] {
  const tests: Instruction[] = [];
  const type = TYPES[rule.type ?? ""];
  const access = [...(rule.access ?? "")].reduce((bits, letter) => bits | (ACCESS[letter] ?? 0), 0) || 7;
  // r2: type, r3: access, r4: major, r5: minor. An offset of -1 means the end of this block.
  if (type !== undefined) tests.push({ code: JNE_K, dst: 2, imm: type, off: -1 });
  if (access !== 7) {
    // The rule must name every requested access bit.
    tests.push(
      { code: MOV32_X, dst: 1, src: 3 },
      { code: AND32_K, dst: 1, imm: access },
      { code: JNE_X, dst: 1, src: 3, off: -1 },
    );
  }
  if (orWildcard(rule.major) !== "*") tests.push({ code: JNE_K, dst: 4, imm: Number(rule.major), off: -1 });
  if (orWildcard(rule.minor) !== "*") tests.push({ code: JNE_K, dst: 5, imm: Number(rule.minor), off: -1 });
  const body = [...tests, { code: MOV64_K, dst: 0, imm: rule.allow ? 1 : 0 }, { code: EXIT }];
  return body.map((ins, i) => (ins.off === -1 ? { ...ins, off: body.length - i - 1 } : ins));
}

const DENY: readonly Instruction[] = [{ code: MOV64_K, dst: 0, imm: 0 }, { code: EXIT }];

/** Assembles the program that enforces `rules`: the last matching rule decides; without a match, access is denied. */
export function deviceProgram(rules: readonly DeviceRule[]): Uint8Array {
  const code: Instruction[] = [
    { code: LDX_W, dst: 2, src: 1, off: 0 },
    { code: AND32_K, dst: 2, imm: 0xffff },
    { code: LDX_W, dst: 3, src: 1, off: 0 },
    { code: RSH32_K, dst: 3, imm: 16 },
    { code: LDX_W, dst: 4, src: 1, off: 4 },
    { code: LDX_W, dst: 5, src: 1, off: 8 },
  ];
  // The first match ends the program, so the last rule comes first. Everything after an unconditional rule is left out:
  // the verifier rejects unreachable instructions.
  const isUnconditional = (body: readonly Instruction[]) => body.length === 2;
  const blocks = [...rules].reverse().map(ruleBlock);
  const end = blocks.findIndex(isUnconditional);
  code.push(...(end < 0 ? [...blocks, DENY] : blocks.slice(0, end + 1)).flat());
  const out = new Uint8Array(code.length * 8);
  const view = new DataView(out.buffer);
  code.forEach((ins, i) => {
    out[8 * i] = ins.code;
    out[8 * i + 1] = (ins.dst ?? 0) | ((ins.src ?? 0) << 4);
    view.setInt16(8 * i + 2, ins.off ?? 0, true);
    view.setInt32(8 * i + 4, ins.imm ?? 0, true);
  });
  return out;
}
