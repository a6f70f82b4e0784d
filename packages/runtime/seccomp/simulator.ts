/** An interpreter of classic BPF filters, for tests. */

/** The kernel's struct seccomp_data. */
export interface SeccompData {
  nr: number;
  arch: number;
  /** Six unsigned 64-bit values. */
  args: readonly bigint[];
}

/** The filter's return value, and the number of instructions executed. */
export interface Verdict {
  value: number;
  steps: number;
}

/** Encodes seccomp_data in a machine's byte order. */
function packData(data: SeccompData, bigEndian = false): DataView {
  const view = new DataView(new ArrayBuffer(64));
  view.setUint32(0, data.nr >>> 0, !bigEndian);
  view.setUint32(4, data.arch >>> 0, !bigEndian);
  data.args.forEach((arg, i) => {
    view.setBigUint64(16 + i * 8, BigInt.asUintN(64, arg), !bigEndian);
  });
  return view;
}

/** Runs a program; throws if the kernel would refuse to load it (unknown opcode, jump out of the program). */
export function simulate(program: Uint8Array, data: SeccompData, bigEndian = false): Verdict {
  const code = new DataView(program.buffer, program.byteOffset, program.byteLength);
  const input = packData(data, bigEndian);
  const memory = new Uint32Array(16);
  let a = 0;
  let x = 0;
  let steps = 0;
  for (let pc = 0; ; pc++) {
    const at = pc * 8;
    if (at + 8 > program.length) throw new Error(`jump out of the program to ${pc}`);
    steps++;
    const op = code.getUint16(at, !bigEndian);
    const k = code.getUint32(at + 4, !bigEndian);
    const jump = (taken: boolean) => {
      pc += code.getUint8(at + (taken ? 2 : 3));
    };
    switch (op) {
      case 0x20: // ld [k]
        if (k % 4 !== 0 || k > 60) throw new Error(`load from ${k}`);
        a = input.getUint32(k, !bigEndian);
        break;
      case 0x00: // ld #k
        a = k;
        break;
      case 0x60: // ld M[k]
        a = memory[k]!;
        break;
      case 0x02: // st M[k]
        memory[k] = a;
        break;
      case 0x07: // tax
        x = a;
        break;
      case 0x87: // txa
        a = x;
        break;
      case 0x54: // and #k
        a = (a & k) >>> 0;
        break;
      case 0x05: // ja
        pc += k;
        break;
      case 0x15:
        jump(a === k);
        break;
      case 0x25:
        jump(a > k);
        break;
      case 0x35:
        jump(a >= k);
        break;
      case 0x45:
        jump((a & k) !== 0);
        break;
      case 0x06:
        return { value: k, steps };
      default:
        throw new Error(`unknown opcode ${op.toString(16)} at ${pc}`);
    }
  }
}
