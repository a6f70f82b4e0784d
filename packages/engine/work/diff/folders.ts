/** The folders behind mounts: what a snapshotter's bind mounts and overlays show, without mounting them. */
import { isAbsolute } from "node:path";
import { BerthError } from "@berth/base";
import type { Mount } from "../../base/core/wire.ts";
import type { OverlayPrefix } from "../layers/tar-source.ts";

/** The folders of one mount. */
export interface MountFolders {
  /** Where changes go: an overlay's upper folder, or the source of a bind mount; undefined if it is read-only. */
  upper: string | undefined;
  /** The folders below it, topmost first. */
  lowers: readonly string[];
  /** Prefix of overlayfs's own attributes; undefined for a bind mount. */
  overlay: OverlayPrefix | undefined;
  /** Whether the mount has the option "ro". */
  readonly: boolean;
}

/** Options that move files to where only overlayfs finds them. */
const REFUSED = /^(?:redirect_dir=(?:on|follow)|metacopy=on|lowerdir\+=.*|datadir\+=.*)$/;

/** The folders of mounts; undefined for none. `what` names the mounts in errors: "left", "right", "mounts". */
export function foldersOf(mounts: readonly Mount[], what: string): MountFolders | undefined {
  const [mount, ...more] = mounts;
  if (mount === undefined) return undefined;
  const refuse = (code: "unimplemented" | "invalid_argument", why: string) =>
    new BerthError(code, `${what}: ${why}: ${code.replace("_", " ")}`);
  if (more.length > 0) throw refuse("unimplemented", `found ${mounts.length} mounts, expected at most one`);
  const { type, source, options } = mount;
  const readonly = options.includes("ro");
  if (type === "bind" || (type === "" && options.some((o) => o === "bind" || o === "rbind"))) {
    if (!isAbsolute(source))
      throw refuse("invalid_argument", `source is ${JSON.stringify(source)}, expected an absolute path`);
    return { upper: source, lowers: [], overlay: undefined, readonly };
  }
  if (type !== "overlay")
    throw refuse("unimplemented", `type is ${JSON.stringify(type)}, expected overlay or bind`);
  const unknown = options.find((option) => REFUSED.test(option));
  if (unknown !== undefined)
    throw refuse("unimplemented", `found the overlay option ${unknown}, expected an overlay without it`);
  const upper = optionOf(mount, "upperdir");
  const lowers = splitFolders(optionOf(mount, "lowerdir") ?? "");
  for (const folder of stackOf({ upper, lowers }))
    if (!isAbsolute(folder))
      throw refuse(
        "invalid_argument",
        `a folder of the overlay is ${JSON.stringify(folder)}, expected an absolute path`,
      );
  if (upper === undefined && lowers.length === 0)
    throw refuse("invalid_argument", "the overlay has no folders, expected lowerdir=");
  return {
    upper,
    lowers,
    overlay: options.includes("userxattr") ? "user.overlay." : "trusted.overlay.",
    readonly,
  };
}

/** All folders of a mount, topmost first. */
export function stackOf({ upper, lowers }: Pick<MountFolders, "upper" | "lowers">): string[] {
  return upper === undefined ? [...lowers] : [upper, ...lowers];
}

function optionOf(mount: Mount, name: string): string | undefined {
  return mount.options.findLast((o) => o.startsWith(`${name}=`))?.slice(name.length + 1);
}

/** Colons separate folders; a backslash takes the meaning from the character after it. */
function splitFolders(text: string): string[] {
  if (text === "") return [];
  return text.split(/(?<!(?<!\\)(?:\\\\)*\\):/).map((folder) => folder.replaceAll(/\\(.)/g, "$1"));
}
