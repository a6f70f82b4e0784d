/** Which mounts of an activation the daemon makes, and how: containerd's rules. Pure. */
import type { types } from "@berth/api";
import { BerthError } from "@berth/base";

/** What is done to a mount before it is made, by the prefix of its type. */
export type Transform = "format" | "mkdir";

/** A mount, with its type's prefixes taken off. */
export interface PlannedMount {
  mount: types.Mount;
  transforms: readonly Transform[];
  /** Name in errors: "mounts[2]". */
  where: string;
}

/** How an activation is carried out. */
export interface ActivationPlan {
  mounts: readonly PlannedMount[];
  /** How many of them, from the first on, the daemon makes; the others are left to whoever needs the file system. */
  made: number;
  /** Whether a bind mount of the last one made is what is left. */
  bind: boolean;
}

/** Most mounts of one activation, as in containerd. */
const MAX_MOUNTS = 255;
const TRANSFORMS: readonly string[] = ["format", "mkdir"];
/** A loop device, by a type of its own or by an option of a file system. */
export const LOOP = "loop";
const MKDIR_OPTION = "X-containerd.mkdir.";

/** Whether mounts need the daemon before a container can be made of them. */
export function needsActivation(mounts: readonly Pick<types.Mount, "type" | "options">[]): boolean {
  return mounts.some(
    ({ type, options }) => type.includes("/") || type === LOOP || options.some((o) => o.startsWith("X-")),
  );
}

/**
 * Plans an activation; `whole` makes all mounts. "unimplemented" if there is nothing for the daemon to do: containerd's
 * clients then make the mounts themselves.
 */
export function planActivation(given: readonly types.Mount[], whole: boolean): ActivationPlan {
  if (given.length > MAX_MOUNTS)
    throw new BerthError(
      "invalid_argument",
      `mounts: found ${given.length}, expected at most ${MAX_MOUNTS}: invalid argument`,
    );
  let made = -1;
  const mounts = given.map((mount, i): PlannedMount => {
    const where = `mounts[${i}]`;
    const parts = mount.type.split("/");
    const type = parts.pop()!;
    const transforms = parts.map((name) => transformOf(name, mount.type, where));
    checkMount({ ...mount, type }, transforms, where);
    if (transforms.length > 0) made = i;
    if (type === LOOP || whole) made = i + 1;
    return { mount: { ...mount, type }, transforms, where };
  });
  if (made === -1)
    throw new BerthError("unimplemented", "mounts: found none that has to be activated: not implemented", {
      hint: "mount them as they are",
    });
  const bind = made > 0 && whole;
  if (bind && mounts[made - 1]!.mount.type === LOOP)
    throw new BerthError(
      "invalid_argument",
      `mounts[${made - 1}].type: found a loop device as the last mount, expected a file system: invalid argument`,
    );
  return { mounts, made, bind };
}

function transformOf(name: string, type: string, where: string): Transform {
  if (TRANSFORMS.includes(name)) return name as Transform;
  throw new BerthError(
    "unimplemented",
    `${where}.type: found ${JSON.stringify(`${name}/`)} in ${JSON.stringify(type)}, expected format/ or mkdir/: not implemented`,
  );
}

function checkMount(mount: types.Mount, transforms: readonly Transform[], where: string): void {
  const { type, source, target, options } = mount;
  const nul = Object.entries({ type, source, target, options: options.join() }).find(([, text]) =>
    text.includes("\0"),
  );
  if (nul !== undefined)
    throw new BerthError(
      "invalid_argument",
      `${where}.${nul[0]}: found a NUL character, expected a string for the kernel: invalid argument`,
    );
  const refuse = (field: string, found: string, expected: string) =>
    new BerthError(
      "unimplemented",
      `${where}.${field}: found ${JSON.stringify(found)}, expected ${expected}: not implemented`,
    );
  if (/^fuse3?\./.test(type)) throw refuse("type", type, "a file system of the kernel's");
  options.forEach((option, i) => {
    const known = transforms.includes("mkdir") && option.startsWith(MKDIR_OPTION);
    if (/^X-/i.test(option) && !known)
      throw refuse(`options[${i}]`, option, `no such option, or ${MKDIR_OPTION}path with the type mkdir/...`);
    if (/^(?:uidmap|gidmap)=|^r?idmap$/.test(option))
      throw refuse(`options[${i}]`, option, "no mapping of owners");
  });
}
