/** Folders made for a mount: containerd's type "mkdir/..." with options X-containerd.mkdir.path=PATH[:MODE[:UID:GID]]. */
import { fstatSync } from "node:fs";
import { dirname } from "node:path";
import type { types } from "@berth/api";
import { BerthError } from "@berth/base";
import { linux } from "@berth/sys";
import type { Place } from "./places.ts";

const PREFIX = "X-containerd.mkdir.path=";
const DEFAULT_MODE = 0o700;

/** Makes the folders, which must lie in one of `places`, and takes the options off the mount. */
export function makeFolders(mount: types.Mount, places: readonly Place[], where: string): types.Mount {
  const options = mount.options.filter((option, i) => {
    if (!option.startsWith("X-containerd.mkdir.")) return true;
    makeFolder(parse(option, `${where}.options[${i}]`), places);
    return false;
  });
  return { ...mount, options };
}

interface Wanted {
  path: string;
  mode: number;
  uid: number;
  gid: number;
  field: string;
}

function parse(option: string, field: string): Wanted {
  const refuse = () =>
    new BerthError(
      "invalid_argument",
      `${field}: found ${JSON.stringify(option)}, expected ${PREFIX}PATH[:MODE[:UID:GID]], MODE in octal: invalid argument`,
    );
  if (!option.startsWith(PREFIX)) throw refuse();
  const [path = "", mode, uid, gid, ...more] = option.slice(PREFIX.length).split(":");
  const one = (uid === undefined) !== (gid === undefined);
  if (!path.startsWith("/") || one || more.length > 0) throw refuse();
  if (mode !== undefined && !/^[0-7]{1,4}$/.test(mode)) throw refuse();
  const owners = [uid ?? "0", gid ?? "0"];
  if (!owners.every((owner) => /^\d{1,10}$/.test(owner) && Number(owner) < 2 ** 32 - 1)) throw refuse();
  const bits = mode === undefined ? DEFAULT_MODE : Number.parseInt(mode, 8);
  if (bits > 0o777) throw refuse();
  return {
    path: path.replace(/\/+$/, ""),
    mode: bits,
    uid: Number(owners[0]),
    gid: Number(owners[1]),
    field,
  };
}

/** Makes a folder whose parent exists; one that is there must have the mode. */
function makeFolder({ path, mode, uid, gid, field }: Wanted, places: readonly Place[]): void {
  const place = places.find((each) => each.has(path));
  if (place === undefined)
    throw new BerthError(
      "permission_denied",
      `${field}: found ${path}, expected a path below ${places.map((each) => each.folder).join(" or ")}`,
      { path },
    );
  const parent = dirname(path);
  const { O_PATH, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, O_CLOEXEC, EEXIST } = linux;
  const dir =
    parent === place.folder
      ? linux.syscall("openat", parent, linux.AT_FDCWD, parent, O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
      : place.open(parent, O_PATH | O_DIRECTORY, field);
  try {
    const name = path.slice(parent.length + 1);
    const made = linux.rawSyscall("mkdirat", dir, name, DEFAULT_MODE);
    if (made < 0 && made !== -EEXIST) throw linux.syscallError("mkdirat", -made, path);
    const fd = linux.syscall("openat", path, dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    try {
      if (made >= 0) {
        linux.syscall("fchown", path, fd, uid, gid);
        linux.syscall("fchmod", path, fd, mode);
      } else if ((fstatSync(fd).mode & 0o777) !== mode)
        throw new BerthError(
          "failed_precondition",
          `${field}: found mode 0${(fstatSync(fd).mode & 0o777).toString(8)} at ${path}, expected 0${mode.toString(8)} or no such folder`,
          { path },
        );
    } finally {
      linux.close(fd);
    }
  } finally {
    linux.close(dir);
  }
}
