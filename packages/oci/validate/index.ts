/** Reads and validates runtime-spec documents. */
import { BerthError } from "@berth/base";
import { parseJson } from "../json.ts";
import type { Mount } from "../runtime/mount.ts";
import type { Process } from "../runtime/process.ts";
import type { Resources } from "../runtime/resources.ts";
import type { Spec } from "../runtime/spec.ts";
import { checkMount, checkProcessRules, checkResourceRules, checkSpecRules, type Warn } from "./rules.ts";
import { mountsCheck, processCheck, resourcesCheck, specCheck } from "./schema.ts";

/** Options of the validators. */
export interface ValidateOptions {
  /** Name of the document in error messages; "config.json" when absent. */
  what?: string;
  /** Receives warnings: oddities that the specification permits (an unknown capability). Default: dropped. */
  onWarning?: Warn;
}

/**
 * Checks a parsed config.json and returns it as a Spec. The caller's object is normalised in place: nulls are
 * removed, an absent user becomes root. Throws "invalid_argument" that names the field, what was found and what was
 * expected. Unknown fields are left alone.
 */
export function validateSpec(value: unknown, options: ValidateOptions = {}): Spec {
  return named(options.what ?? "config.json", () => {
    specCheck(value, "");
    checkSpecRules(value as Spec, options.onWarning ?? (() => {}));
    return value as Spec;
  });
}

/** Parses and validates the text of a config.json; see {@link validateSpec}. */
export function parseSpec(text: string, options: ValidateOptions = {}): Spec {
  return validateSpec(parseJson(text, options.what ?? "config.json"), options);
}

/** Checks a parsed `process` object (of `exec --process`); see {@link validateSpec}. */
export function validateProcess(value: unknown, options: ValidateOptions = {}): Process {
  return named(options.what ?? "process.json", () => {
    processCheck(value, "");
    checkProcessRules(value as Process, "process", options.onWarning ?? (() => {}));
    return value as Process;
  });
}

/** Checks a parsed `linux.resources` object (of `update`); see {@link validateSpec}. */
export function validateResources(value: unknown, options: ValidateOptions = {}): Resources {
  return named(options.what ?? "resources", () => {
    resourcesCheck(value, "");
    checkResourceRules(value as Resources, "resources", true);
    return value as Resources;
  });
}

/** Checks a parsed list of mounts (of `mounts add`); see {@link validateSpec}. */
export function validateMounts(value: unknown, options: ValidateOptions = {}): Mount[] {
  return named(options.what ?? "mounts", () => {
    mountsCheck(value, "mounts");
    (value as Mount[]).forEach((mount, i) => {
      checkMount(mount, `mounts[${i}]`, options.onWarning ?? (() => {}));
    });
    return value as Mount[];
  });
}

// Prefixes the field's path with the document's name.
function named<T>(what: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof BerthError)) throw error;
    throw new BerthError(error.code, `${what}: ${error.message}`, {
      stage: "config",
      ...(error.hint === undefined ? {} : { hint: error.hint.replace("the configuration", what) }),
    });
  }
}
