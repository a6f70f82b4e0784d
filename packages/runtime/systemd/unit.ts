/** Which unit a container is: linux.cgroupsPath in the form of the systemd driver, "slice:prefix:name". Pure. */
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

/** Without a path, a container is "runc-ID.scope" in the slice of system services, or of the user. */
export function unitName(cgroupsPath: string | undefined, id: string, user: boolean): UnitName {
  const path = cgroupsPath || `:runc:${id}`;
  const parts = path.split(":");
  if (parts.length !== 3) refuse(path, '"slice:prefix:name", as --systemd-cgroup is given');
  const [slice = "", prefix = "", name = ""] = parts;
  const wanted = slice || (user ? "user.slice" : "system.slice");
  if (
    !wanted.endsWith(".slice") ||
    !LETTERS.test(wanted) ||
    /^-(?!\.slice$)|--|-\.slice$/.test(wanted.replace(/^-\.slice$/, "x.slice"))
  )
    refuse(path, `a slice such as "system.slice" before the first colon`);
  if (name === "") refuse(path, "a name behind the second colon");
  const unit = name.endsWith(".slice") ? name : prefix === "" ? `${name}.scope` : `${prefix}-${name}.scope`;
  if (!LETTERS.test(unit) || unit.length > MAX_NAME)
    refuse(path, `a unit name of letters, digits and any of : - _ . \\ @`);
  return { unit, slice: wanted };
}

/** A slice's place in the tree: "a-b.slice" is "/a.slice/a-b.slice", "-.slice" the root. */
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

/** Where the system's manager will most likely make the unit's cgroup. */
export function likelyPath({ unit, slice }: UnitName): string {
  return unit.endsWith(".slice") ? slicePath(unit) : `${slicePath(slice)}/${unit}`;
}
