/** Compiled seccomp filters, kept below the runtime's root beside the profile that each was made from. */
import { BerthError, log } from "@berth/base";
import { type Seccomp, stringifyJson } from "@berth/oci";
import type { SeccompFilter } from "../plan/seccomp.ts";
import type { Runtime } from "../state/runtime.ts";

/** To be raised when the compiler's output changes, so that filters of an older berth are not used. */
const COMPILER_VERSION = 3;
const NATIVE: Readonly<Record<string, "SCMP_ARCH_X86_64" | "SCMP_ARCH_AARCH64">> = {
  x64: "SCMP_ARCH_X86_64",
  arm64: "SCMP_ARCH_AARCH64",
};
const NEW_LISTENER = 1 << 3;
/** Flags (4 bytes) and size of the program (4 bytes), then the program, then what it was made from. */
const HEAD = 8;
/** How many characters of a profile go into its name: to hash all of them takes longer than to compare them. */
const SAMPLES = 64;

/**
 * A file name for a profile. Different profiles may share one: what counts is the whole text in the file, so that a name is
 * no more than a place to look, and needs no cryptographic hash (which takes 2 ms to load).
 */
function nameOf(text: string): string {
  let hash = 0;
  const step = Math.max(1, Math.floor(text.length / SAMPLES));
  for (let i = 0; i < text.length; i += step) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) >>> 0;
  return `${text.length}-${hash.toString(16)}`;
}

function readKept(content: Uint8Array, text: string): SeccompFilter | undefined {
  if (content.length < HEAD) return undefined;
  const view = new DataView(content.buffer, content.byteOffset);
  const end = HEAD + view.getUint32(4, true);
  if (end > content.length || (end - HEAD) % 8 !== 0) return undefined;
  if (new TextDecoder().decode(content.subarray(end)) !== text) return undefined;
  return { flags: view.getUint32(0, true), program: content.subarray(HEAD, end) };
}

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
  const text = `${COMPILER_VERSION} ${native} ${stringifyJson(profile)}`;
  const path = `${folder}/${nameOf(text)}`;
  const kept = sys.stat(path) === undefined ? undefined : readKept(sys.readFile(path), text);
  if (kept !== undefined) return withListener(kept, profile);
  // The compiler and its tables are loaded only when a profile is new.
  const { compileSeccomp } = await import("../seccomp/index.ts");
  const { flags, program } = compileSeccomp(profile, native);
  const source = new TextEncoder().encode(text);
  const content = new Uint8Array(HEAD + program.length + source.length);
  const view = new DataView(content.buffer);
  view.setUint32(0, flags, true);
  view.setUint32(4, program.length, true);
  content.set(program, HEAD);
  content.set(source, HEAD + program.length);
  sys.mkdirAll(folder, 0o700);
  sys.replaceFile(path, content);
  return withListener({ flags, program }, profile);
}

function withListener(filter: SeccompFilter, profile: Seccomp): SeccompFilter {
  log.debug(`seccomp filter flags: ${filter.flags}`);
  if (!(filter.flags & NEW_LISTENER)) return filter;
  return { ...filter, listener: { path: profile.listenerPath!, metadata: profile.listenerMetadata ?? "" } };
}
