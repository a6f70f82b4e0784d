/** Encodes plans in berth-init's binary format, which native/init/plan.h describes. */
import { BerthError } from "@berth/base";
import { OPERATION_CODES, type Operation, type Plan, SECTIONS } from "./operations.ts";

const MAGIC = 0x4e4c5042;
const VERSION = 1;
const HEADER = 56;
const MAX_SIZE = 16 << 20;
const PARENT_FLAGS = { leave: 0, keep: 2, wait: 4 } as const;

const utf8 = new TextEncoder();

const padded = (size: number) => (size + 7) & ~7;

type Bytes = Uint8Array | number | bigint;

function encodeArg(arg: Operation["args"][number], op: Operation): Bytes {
  if (typeof arg !== "string") return arg;
  if (arg.includes("\0")) {
    throw new BerthError("invalid_argument", `${op.words}: a NUL character in ${JSON.stringify(arg)}`, {
      stage: op.stage,
    });
  }
  return utf8.encode(arg);
}

/** Encodes a plan; "invalid_argument" if a string contains a NUL or the plan exceeds 16 MiB. */
export function encodePlan(plan: Plan): Uint8Array {
  let size = HEADER;
  const operations: { op: Operation; args: Bytes[] }[] = [];
  for (const section of SECTIONS) {
    for (const op of plan.sections[section]) {
      const args = op.args.map((arg) => encodeArg(arg, op));
      size += 8;
      for (const arg of args) size += 8 + (arg instanceof Uint8Array ? padded(arg.length + 1) : 8);
      operations.push({ op, args });
    }
  }
  if (size > MAX_SIZE) {
    throw new BerthError(
      "invalid_argument",
      `the plan has ${size} bytes, more than ${MAX_SIZE} are not accepted`,
    );
  }
  const out = new Uint8Array(size);
  const view = new DataView(out.buffer);
  const u32 = (at: number, value: number) => view.setUint32(at, value, true);
  u32(0, MAGIC);
  u32(4, VERSION);
  u32(8, size);
  u32(12, (plan.child ? 1 : 0) | PARENT_FLAGS[plan.parent]);
  view.setBigUint64(16, BigInt(plan.cloneFlags), true);
  SECTIONS.forEach((section, i) => {
    u32(24 + 4 * i, plan.sections[section].length);
  });
  u32(48, plan.inherited);
  view.setInt32(52, plan.cgroupSlot, true);
  let at = HEADER;
  for (const { op, args } of operations) {
    view.setUint16(at, OPERATION_CODES.get(op.name)!, true);
    view.setUint16(at + 2, args.length, true);
    u32(at + 4, (op.optional ? 1 : 0) | (op.ifPresent ? 2 : 0));
    at += 8;
    for (const arg of args) {
      if (arg instanceof Uint8Array) {
        u32(at, 2);
        u32(at + 4, arg.length);
        out.set(arg, at + 8);
        at += 8 + padded(arg.length + 1);
      } else {
        u32(at, 1);
        u32(at + 4, 8);
        view.setBigInt64(at + 8, BigInt.asIntN(64, BigInt(arg)), true);
        at += 16;
      }
    }
  }
  return out;
}
