/** System call numbers of every supported architecture. */
import type { SeccompArchitecture } from "@berth/oci";
import { AARCH64 } from "./aarch64.ts";
import { ARM } from "./arm.ts";
import { LOONGARCH64 } from "./loongarch64.ts";
import { PPC64LE } from "./ppc64le.ts";
import { RISCV64 } from "./riscv64.ts";
import { S390 } from "./s390.ts";
import { S390X } from "./s390x.ts";
import { X32 } from "./x32.ts";
import { X86 } from "./x86.ts";
import { X86_64 } from "./x86-64.ts";

const TABLES: Partial<Record<SeccompArchitecture, string>> = {
  SCMP_ARCH_X86_64: X86_64,
  SCMP_ARCH_X86: X86,
  SCMP_ARCH_X32: X32,
  SCMP_ARCH_AARCH64: AARCH64,
  SCMP_ARCH_ARM: ARM,
  SCMP_ARCH_RISCV64: RISCV64,
  SCMP_ARCH_LOONGARCH64: LOONGARCH64,
  SCMP_ARCH_PPC64LE: PPC64LE,
  SCMP_ARCH_S390X: S390X,
  SCMP_ARCH_S390: S390,
};

const parsed = new Map<SeccompArchitecture, Map<string, number>>();

/**
 * Parses a table: words separated by white space. A number is that of the next name, and each further name has the next
 * higher number.
 */
export function parseSyscalls(table: string): Map<string, number> {
  const found = new Map<string, number>();
  let next = 0;
  for (const word of table.split(/\s+/)) {
    if (word.charCodeAt(0) <= 57) next = Number(word);
    else found.set(word, next++);
  }
  return found;
}

/** Numbers by name; undefined for an architecture without a table. x32 numbers are without their marker bit. */
export function syscallsOf(architecture: SeccompArchitecture): ReadonlyMap<string, number> | undefined {
  const known = parsed.get(architecture);
  const table = TABLES[architecture];
  if (known || table === undefined) return known;
  const numbers = parseSyscalls(table);
  parsed.set(architecture, numbers);
  return numbers;
}
