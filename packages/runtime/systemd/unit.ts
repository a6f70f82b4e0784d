/** Unit names from the systemd driver's linux.cgroupsPath, "slice:prefix:name". Pure. */
import { BerthError } from "@berth/base";
import type { UnitName } from "../state/record.ts";

const LETTERS = /^[\w:.@\\-]+$/;
const MAX_NAME = 255;

function refuse(found: string, expected: string): never {
  throw new BerthError(
    "invalid_argument",
    `linux.cgroupsPath: found ${JSON.stringify(found)}, expected ${expected}`,
    {
      stage: "systemd",
    },
  );
}

/** Parses linux.cgroupsPath. The default is "runc-ID.scope" in system.slice, or in user.slice for an unprivileged user. */
export function unitName(cgroupsPath: string | undefined, id: string, user: boolean): UnitName {
  const path = cgroupsPath || `:runc:${id}`;
  const parts = path.split(":");
  if (parts.length !== 3) refuse(path, '"slice:prefix:name", as --systemd-cgroup is given');
  const [givenSlice = "", prefix = "", name = ""] = parts;
  const slice = givenSlice || (user ? "user.slice" : "system.slice");
  if (
    !slice.endsWith(".slice") ||
    !LETTERS.test(slice) ||
    /^-(?!\.slice$)|--|-\.slice$/.test(slice.replace(/^-\.slice$/, "x.slice"))
  )
    refuse(path, `a slice such as "system.slice" before the first colon`);
  if (name === "") refuse(path, "a name behind the second colon");
  const unit = name.endsWith(".slice") ? name : prefix === "" ? `${name}.scope` : `${prefix}-${name}.scope`;
  if (!LETTERS.test(unit) || unit.length > MAX_NAME)
    refuse(path, `a unit name of letters, digits and any of : - _ . \\ @`);
  return { unit, slice };
}

/** A slice's cgroup path: "/a.slice/a-b.slice" for "a-b.slice", "" for the root slice "-.slice". */
export function slicePath(slice: string): string {
  if (slice === "-.slice") return "";
  let path = "";
  let prefix = "";
  for (const part of slice.slice(0, -".slice".length).split("-")) {
    prefix = prefix === "" ? part : `${prefix}-${part}`;
    path += `/${prefix}.slice`;
  }
  return path;
}

/** The path at which systemd is expected to create the unit's cgroup. */
export function expectedPath({ unit, slice }: UnitName): string {
  return unit.endsWith(".slice") ? slicePath(unit) : `${slicePath(slice)}/${unit}`;
}
