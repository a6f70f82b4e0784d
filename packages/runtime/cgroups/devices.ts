/** Device access rules: version 1 lines, and an eBPF program for version 2 (BPF_PROG_TYPE_CGROUP_DEVICE). Pure. */
import type { DeviceRule } from "@berth/oci";

const any = undefined;
/** What every container may do whatever its bundle says, as runc and crun have it: use the default devices, mknod any. */
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
  ...(major === undefined ? {} : { major }),
  ...(minor === undefined ? {} : { minor }),
}));

const wild = (n: DeviceRule["major"]) => (n === undefined || BigInt(n) < 0n ? "*" : String(n));

/** One rule as devices.allow or devices.deny takes it. */
export function v1DeviceWrite(rule: DeviceRule): { file: string; value: string } {
  const type = rule.type === undefined || rule.type === "" ? "a" : rule.type;
  const asked = rule.access?.replace(/[^rwm]/g, "");
  const access = asked === undefined || asked === "" ? "rwm" : asked;
  const value =
    type === "a" && wild(rule.major) === "*" && wild(rule.minor) === "*"
      ? "a"
      : `${type} ${wild(rule.major)}:${wild(rule.minor)} ${access}`;
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

function block(rule: DeviceRule): Instruction[] {
  const tests: Instruction[] = [];
  const type = TYPES[rule.type ?? ""];
  const access = [...(rule.access ?? "")].reduce((bits, letter) => bits | (ACCESS[letter] ?? 0), 0) || 7;
  // r2: type, r3: access, r4: major, r5: minor. off -1 stands for "to the end of this block".
  if (type !== undefined) tests.push({ code: JNE_K, dst: 2, imm: type, off: -1 });
  if (access !== 7) {
    // Everything that is asked must be among what the rule names.
    tests.push(
      { code: MOV32_X, dst: 1, src: 3 },
      { code: AND32_K, dst: 1, imm: access },
      { code: JNE_X, dst: 1, src: 3, off: -1 },
    );
  }
  if (wild(rule.major) !== "*") tests.push({ code: JNE_K, dst: 4, imm: Number(rule.major), off: -1 });
  if (wild(rule.minor) !== "*") tests.push({ code: JNE_K, dst: 5, imm: Number(rule.minor), off: -1 });
  const body = [...tests, { code: MOV64_K, dst: 0, imm: rule.allow ? 1 : 0 }, { code: EXIT }];
  return body.map((ins, i) => (ins.off === -1 ? { ...ins, off: body.length - i - 1 } : ins));
}

const DENY: readonly Instruction[] = [{ code: MOV64_K, dst: 0, imm: 0 }, { code: EXIT }];

/** The program that allows or denies by `rules`, of which the last that matches decides; without any: denied. */
export function deviceProgram(rules: readonly DeviceRule[]): Uint8Array {
  const code: Instruction[] = [
    { code: LDX_W, dst: 2, src: 1, off: 0 },
    { code: AND32_K, dst: 2, imm: 0xffff },
    { code: LDX_W, dst: 3, src: 1, off: 0 },
    { code: RSH32_K, dst: 3, imm: 16 },
    { code: LDX_W, dst: 4, src: 1, off: 4 },
    { code: LDX_W, dst: 5, src: 1, off: 8 },
  ];
  // The first match ends the program, so the last rule comes first; what an "all" rule hides is left out, and so is the
  // answer behind it: the kernel refuses programs with instructions that cannot be reached.
  const decisive = (body: readonly Instruction[]) => body.length === 2;
  const blocks = [...rules].reverse().map(block);
  const end = blocks.findIndex(decisive);
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
