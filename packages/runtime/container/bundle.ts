/** Reads bundles: config.json and the root file system that it refers to. */
import { BerthError, log, stageSync } from "@berth/base";
import { parseSpec, type Spec } from "@berth/oci";
import type { Runtime } from "../state/runtime.ts";

/** Reads and validates a bundle's config.json. */
export function readBundle(runtime: Runtime, bundle: string): Spec {
  const path = `${bundle}/config.json`;
  const text = runtime.sys.readTextIfAny(path);
  if (text === undefined) {
    // runc's message, which tools match.
    throw new BerthError("not_found", `JSON specification file config.json not found: ${path}`, {
      stage: "config",
      path,
      hint: "`berth-runc spec` writes one",
    });
  }
  return stageSync("validate", {}, () => parseSpec(text, { onWarning: (warning) => log.warn(warning) }));
}

/** Resolves a bundle's root.path to an absolute path without symlinks. */
export function rootfsOf(runtime: Runtime, spec: Spec, bundle: string): string {
  if (spec.root === undefined) {
    throw new BerthError("invalid_argument", "root: found nothing, expected the root file system's path", {
      stage: "rootfs",
      hint: 'set it in config.json: "root": {"path": "rootfs"}',
    });
  }
  const { path } = spec.root;
  const absolute = path.startsWith("/") ? path : `${bundle}/${path}`;
  const info = runtime.sys.stat(absolute);
  if (info?.kind !== "folder") {
    throw new BerthError(
      "invalid_argument",
      `root.path: found ${info === undefined ? "nothing" : `a ${info.kind}`} at ${absolute}, expected the folder of the root file system`,
      { stage: "rootfs", path: absolute, hint: "unpack an image there, or correct root.path" },
    );
  }
  return runtime.sys.realpath(absolute);
}
