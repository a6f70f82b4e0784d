/** Diagnoses why execve(2) failed for an existing file, from the file's first bytes. */
import { BerthError, codeOfErrno, present } from "@berth/base";
import type { Operation } from "../plan/operations.ts";

const MACHINES: Readonly<Record<number, string>> = {
  3: "x86 (386)",
  8: "MIPS",
  20: "PowerPC",
  21: "PowerPC64",
  22: "s390x",
  40: "ARM (arm)",
  62: "x86-64 (amd64)",
  183: "AArch64 (arm64)",
  243: "RISC-V (riscv64)",
  258: "LoongArch (loong64)",
};
const OWN_MACHINES: Readonly<Record<string, readonly number[]>> = { x64: [62, 3], arm64: [183] };

interface Diagnosis {
  cause: string;
  hint: string;
}

function elfInterpreter(view: DataView, bytes: Uint8Array): string | undefined {
  if (bytes[4] !== 2 || view.byteLength < 64) return undefined;
  const at = Number(view.getBigUint64(32, true));
  const count = view.getUint16(56, true);
  for (let i = 0; i < count; i++) {
    const head = at + 56 * i;
    if (head + 56 > view.byteLength) return undefined;
    if (view.getUint32(head, true) !== 3) continue; // PT_INTERP
    const start = Number(view.getBigUint64(head + 8, true));
    const end = start + Number(view.getBigUint64(head + 32, true)) - 1;
    return end <= bytes.length ? new TextDecoder().decode(bytes.subarray(start, end)) : undefined;
  }
  return undefined;
}

function diagnoseElf(bytes: Uint8Array, errno: string, arch: string): Diagnosis | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 20) return { cause: "the ELF file is cut off", hint: "copy it into the image again" };
  const machine = view.getUint16(18, true);
  if (!(OWN_MACHINES[arch] ?? []).includes(machine)) {
    return {
      cause: `it is built for ${MACHINES[machine] ?? `ELF machine ${machine}`}, this host is ${arch}`,
      hint: "pull the image for this host's platform, or register an emulator with binfmt_misc",
    };
  }
  const interpreter = elfInterpreter(view, bytes);
  if (errno === "ENOENT" && interpreter !== undefined) {
    return {
      cause: `its dynamic loader ${interpreter} is not in the image`,
      hint: "use an image with the libc it was linked against, or link it statically",
    };
  }
  return undefined;
}

function diagnoseScript(bytes: Uint8Array, errno: string): Diagnosis {
  const line = new TextDecoder().decode(bytes).split("\n", 1)[0]!;
  const interpreter = line.slice(2).trim().split(/\s+/)[0] ?? "";
  if (line.endsWith("\r")) {
    return {
      cause: `its first line ends in CR LF, so that the interpreter is taken to be "${interpreter}\\r"`,
      hint: "save the script with Unix line ends (dos2unix)",
    };
  }
  if (interpreter === "")
    return { cause: 'its first line "#!" names no interpreter', hint: "name one: #!/bin/sh" };
  return errno === "ENOENT"
    ? {
        cause: `its interpreter ${interpreter} is not in the image`,
        hint: `install ${interpreter}, or name one that is there`,
      }
    : {
        cause: `its interpreter ${interpreter} cannot be executed`,
        hint: `look at the permissions of ${interpreter}`,
      };
}

function diagnose(bytes: Uint8Array, errno: string, arch: string): Diagnosis | undefined {
  if (bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46)
    return diagnoseElf(bytes, errno, arch);
  if (bytes[0] === 0x23 && bytes[1] === 0x21) return diagnoseScript(bytes, errno);
  if (errno !== "ENOEXEC") return undefined;
  return bytes.length === 0
    ? { cause: "the file is empty", hint: "copy it into the image again" }
    : {
        cause: 'it is neither an ELF program nor a script that begins with "#!"',
        hint: 'add a first line such as "#!/bin/sh"',
      };
}

const MESSAGES: Readonly<Record<string, string>> = {
  ENOENT: "no such file or directory",
  EACCES: "permission denied",
  ENOEXEC: "exec format error",
  E2BIG: "argument list too long",
  EISDIR: "is a directory",
};

/** The error for a failed `exec` operation: runc's message, plus the cause. `bytes` is the head of the file. */
export function diagnoseExecutable(
  op: Operation,
  errno: string,
  bytes: Uint8Array,
  arch: string = process.arch,
): BerthError {
  const name = String(op.args[1]);
  const diagnosis = diagnose(bytes, errno, arch);
  const text = `exec ${name}: ${MESSAGES[errno] ?? errno}${diagnosis === undefined ? "" : `: ${diagnosis.cause}`}`;
  return new BerthError(codeOfErrno(errno), text, {
    stage: "exec",
    syscall: "execve",
    errno,
    path: name,
    ...present({ hint: diagnosis?.hint }),
  });
}
