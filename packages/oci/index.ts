/**
 * The OCI specifications as types, validation and builders. Pure: no files, no processes, no `node:` module.
 */
export { type CapabilityOptions, chooseCapabilities } from "./build/capabilities.ts";
export {
  BUILT_OCI_VERSION,
  type ContainerOptions,
  commandOf,
  containerSpec,
} from "./build/container-spec.ts";
export { type DefaultSpecOptions, defaultSpec } from "./build/default-spec.ts";
export { DEFAULT_CAPABILITIES, MASKED_PATHS, READONLY_PATHS } from "./build/defaults.ts";
export { hasVariable, mergeEnvironment } from "./build/environment.ts";
export { type MountRequest, parseMount, parseTmpfs, parseVolume } from "./build/mounts.ts";
export { type ResolvedUser, resolveUser } from "./build/user.ts";
export * from "./image/config.ts";
export * from "./image/descriptor.ts";
export * from "./image/digest.ts";
export * from "./image/manifest.ts";
export * from "./image/platform.ts";
export * from "./image/reference.ts";
export { parseJson, stringifyJson } from "./json.ts";
export * from "./runtime/features.ts";
export * from "./runtime/linux.ts";
export * from "./runtime/mount.ts";
export * from "./runtime/names.ts";
export * from "./runtime/process.ts";
export * from "./runtime/resources.ts";
export * from "./runtime/seccomp.ts";
export * from "./runtime/spec.ts";
export * from "./runtime/state.ts";
export { type DockerSeccompFacts, dockerSeccomp, machineOfNodeArch } from "./seccomp/docker.ts";
export { MACHINE_ARCHITECTURES, type MachineName } from "./seccomp/docker-rules.ts";
export {
  parseSpec,
  type ValidateOptions,
  validateMounts,
  validateProcess,
  validateResources,
  validateSpec,
} from "./validate/index.ts";
