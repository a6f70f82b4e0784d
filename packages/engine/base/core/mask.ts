/** Field masks of Update requests. */
import { BerthError } from "@berth/base";
import type { FieldMask } from "@bufbuild/protobuf/wkt";
import type { Labels } from "./names.ts";

/** The paths of a mask in snake case; undefined if the mask is absent or empty, which means "every mutable field". */
export function pathsOf(mask: FieldMask | undefined): readonly string[] | undefined {
  return mask === undefined || mask.paths.length === 0 ? undefined : mask.paths;
}

/** The error for a path that cannot be changed. */
export function notUpdatable(path: string, what: string): BerthError {
  return new BerthError(
    "invalid_argument",
    `cannot update ${JSON.stringify(path)} of ${what}: invalid argument`,
  );
}

/** Applies a path "labels" or "labels.<key>" to labels: a key without a value is removed. */
export function mergeLabels(path: string, current: Labels, wanted: Labels): Labels {
  if (path === "labels") return { ...wanted };
  const key = path.slice("labels.".length);
  const merged = { ...current };
  if (wanted[key] === undefined || wanted[key] === "") delete merged[key];
  else merged[key] = wanted[key];
  return merged;
}

/** Whether a path refers to labels. */
export function isLabelPath(path: string): boolean {
  return path === "labels" || path.startsWith("labels.");
}
