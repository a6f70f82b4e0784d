/** Subvolumes of btrfs (btrfs-ioctl(2)): folders that can be cloned as a whole, at once. */
import { dirname } from "node:path";
import { BerthError } from "@berth/base";
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_RDONLY } from "./abi.ts";
import { rawSyscall, syscall, syscallError } from "./binding.ts";
import { close } from "./files.ts";

const SUBVOL_CREATE_V2 = 0x50009418;
const SNAP_CREATE_V2 = 0x50009417;
const SNAP_DESTROY = 0x5000940f;
/** `struct btrfs_ioctl_vol_args_v2` and `struct btrfs_ioctl_vol_args`: their size, and where their parts are. */
const ARGS_SIZE = 4096;
const V2_NAME = 56;
const V1_NAME = 8;
const MAX_NAME = 255;

/** Makes an empty subvolume at `path`, or with `source` one with its contents. */
export function createSubvolume(path: string, source?: string): void {
  const args = Buffer.alloc(ARGS_SIZE);
  writeName(args, path, V2_NAME);
  if (source === undefined) inParent(path, "ioctl BTRFS_IOC_SUBVOL_CREATE_V2", SUBVOL_CREATE_V2, args);
  else
    withFolder(source, (fd) => {
      args.writeBigInt64LE(BigInt(fd), 0);
      inParent(path, "ioctl BTRFS_IOC_SNAP_CREATE_V2", SNAP_CREATE_V2, args);
    });
}

/** Removes a subvolume with all that is in it. */
export function destroySubvolume(path: string): void {
  const args = Buffer.alloc(ARGS_SIZE);
  writeName(args, path, V1_NAME);
  inParent(path, "ioctl BTRFS_IOC_SNAP_DESTROY", SNAP_DESTROY, args);
}

function writeName(args: Buffer, path: string, at: number): void {
  const name = Buffer.from(path.slice(path.lastIndexOf("/") + 1));
  if (name.length === 0 || name.length > MAX_NAME)
    throw new BerthError("invalid_argument", `${path}: no name for a subvolume`, { path });
  name.copy(args, at);
}

function inParent(path: string, what: string, request: number, args: Buffer): void {
  withFolder(dirname(path), (fd) => {
    const done = rawSyscall("ioctl", fd, request, args);
    if (done < 0) throw syscallError(what, -done, path);
  });
}

function withFolder(path: string, work: (fd: number) => void): void {
  const fd = syscall("openat", path, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  try {
    work(fd);
  } finally {
    close(fd);
  }
}
