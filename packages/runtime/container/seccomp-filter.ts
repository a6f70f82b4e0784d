/** Compiled seccomp filters, kept below the runtime's root by the hash of their profile. */
import { BerthError, log } from "@berth/base";
import type { Seccomp } from "@berth/oci";
import type { SeccompFilter } from "../plan/seccomp.ts";
import type { Runtime } from "./context.ts";

/** To be raised when the compiler's output changes, so that filters of an older berth are not used. */
const COMPILER_VERSION = 1;
const NATIVE: Readonly<Record<string, "SCMP_ARCH_X86_64" | "SCMP_ARCH_AARCH64">> = {
  x64: "SCMP_ARCH_X86_64",
  arm64: "SCMP_ARCH_AARCH64",
};

/** The filter for a profile; undefined when there is none. */
export async function seccompFilter(
  runtime: Runtime,
  profile: Seccomp | undefined,
): Promise<SeccompFilter | undefined> {
  if (profile === undefined) return undefined;
  const { sys, root } = runtime;
  const native = NATIVE[sys.arch()];
  if (native === undefined)
    throw new BerthError("unimplemented", `seccomp on ${sys.arch()} is not supported`, { stage: "security" });
  const folder = `${root}/.seccomp`;
  const path = `${folder}/${sys.sha256(`${COMPILER_VERSION} ${native} ${JSON.stringify(profile)}`)}`;
  const cached = sys.stat(path) === undefined ? undefined : sys.readFile(path);
  if (cached !== undefined && cached.length > 4 && (cached.length - 4) % 8 === 0) {
    const flags = new DataView(cached.buffer, cached.byteOffset).getUint32(0, true);
    return withListener({ flags, program: cached.subarray(4) }, profile);
  }
  // The compiler and its tables are loaded only when a profile is new.
  const { compileSeccomp } = await import("../seccomp/index.ts");
  const compiled = compileSeccomp(profile, native);
  const content = new Uint8Array(4 + compiled.program.length);
  new DataView(content.buffer).setUint32(0, compiled.flags, true);
  content.set(compiled.program, 4);
  sys.mkdirAll(folder, 0o700);
  sys.replaceFile(path, content);
  return withListener({ flags: compiled.flags, program: compiled.program }, profile);
}

const TSYNC = 1 << 0;
const NEW_LISTENER = 1 << 3;
const TSYNC_ESRCH = 1 << 4;

function withListener(filter: SeccompFilter, profile: Seccomp): SeccompFilter {
  // As runc counts them: what is about the process's threads belongs to the loading, not to the filter.
  log.debug(`seccomp filter flags: ${filter.flags & ~(TSYNC | TSYNC_ESRCH)}`);
  if (!(filter.flags & NEW_LISTENER)) return filter;
  return { ...filter, listener: { path: profile.listenerPath!, metadata: profile.listenerMetadata ?? "" } };
}
