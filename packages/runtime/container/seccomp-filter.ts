/** A cache of compiled seccomp filters below the runtime's root, stored with the profiles they were compiled from. */
import { BerthError, log } from "@berth/base";
import { type Seccomp, stringifyJson } from "@berth/oci";
import type { SeccompFilter } from "../plan/seccomp.ts";
import type { Runtime } from "../state/runtime.ts";

/** Increment when the compiler's output changes, to invalidate filters of older versions. */
const COMPILER_VERSION = 3;
const NATIVE: Readonly<Record<string, "SCMP_ARCH_X86_64" | "SCMP_ARCH_AARCH64">> = {
  x64: "SCMP_ARCH_X86_64",
  arm64: "SCMP_ARCH_AARCH64",
};
const NEW_LISTENER = 1 << 3;
/** A file is the flags (4 bytes), the size of the program (4 bytes), the program, and the profile. */
const HEADER = 8;
/** Number of a profile's characters that are hashed: hashing all of them takes longer than comparing them. */
const SAMPLES = 64;

/**
 * The cache file name of a profile. Collisions are harmless, as the whole profile is compared, so no cryptographic hash
 * (which takes 2 ms to load) is needed.
 */
function cacheName(text: string): string {
  let hash = 0;
  const step = Math.max(1, Math.floor(text.length / SAMPLES));
  for (let i = 0; i < text.length; i += step) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) >>> 0;
  return `${text.length}-${hash.toString(16)}`;
}

/** Decodes a cache file; undefined if it is damaged or of another profile. */
function decodeCached(content: Uint8Array, text: string): SeccompFilter | undefined {
  if (content.length < HEADER) return undefined;
  const view = new DataView(content.buffer, content.byteOffset);
  const end = HEADER + view.getUint32(4, true);
  if (end > content.length || (end - HEADER) % 8 !== 0) return undefined;
  if (new TextDecoder().decode(content.subarray(end)) !== text) return undefined;
  return { flags: view.getUint32(0, true), program: content.subarray(HEADER, end) };
}

/** Returns the filter of a profile, compiled if it is not cached; undefined without a profile. */
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
  const path = `${folder}/${cacheName(text)}`;
  const cached = sys.stat(path) === undefined ? undefined : decodeCached(sys.readFile(path), text);
  if (cached !== undefined) return withListener(cached, profile);
  // The compiler and its tables are loaded only for a new profile.
  const { compileSeccomp } = await import("../seccomp/index.ts");
  const { flags, program } = compileSeccomp(profile, native);
  const source = new TextEncoder().encode(text);
  const content = new Uint8Array(HEADER + program.length + source.length);
  const view = new DataView(content.buffer);
  view.setUint32(0, flags, true);
  view.setUint32(4, program.length, true);
  content.set(program, HEADER);
  content.set(source, HEADER + program.length);
  sys.mkdirAll(folder, 0o700);
  sys.replaceFile(path, content);
  return withListener({ flags, program }, profile);
}

function withListener(filter: SeccompFilter, profile: Seccomp): SeccompFilter {
  log.debug(`seccomp filter flags: ${filter.flags}`);
  if (!(filter.flags & NEW_LISTENER)) return filter;
  return { ...filter, listener: { path: profile.listenerPath!, metadata: profile.listenerMetadata ?? "" } };
}
