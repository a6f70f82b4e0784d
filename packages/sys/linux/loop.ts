/** Loop devices (loop(4)): block devices that show a regular file. */
import { BerthError } from "@berth/base";
import { AT_EMPTY_PATH, AT_FDCWD, O_CLOEXEC, O_NONBLOCK, O_RDONLY, O_RDWR, S_IFMT, S_IFREG } from "./abi.ts";
import { rawSyscall, syscall, syscallError } from "./binding.ts";
import { readFileIfAny } from "./by-name.ts";
import { close } from "./files.ts";

const CONTROL = "/dev/loop-control";
/** ioctls of /dev/loop-control and of a device. */
const LOOP_CTL_GET_FREE = 0x4c82;
const LOOP_CONFIGURE = 0x4c0a;
const LOOP_CLR_FD = 0x4c01;
const LOOP_SET_STATUS64 = 0x4c04;
const LOOP_GET_STATUS64 = 0x4c05;
/** Flags of `struct loop_info64`. */
const LO_FLAGS_READ_ONLY = 1;
const LO_FLAGS_AUTOCLEAR = 4;
/** `struct loop_config`: its size, and where its parts are. */
const CONFIG_SIZE = 304;
const CONFIG_INFO = 8;
const INFO_SIZE = 232;
const INFO_FLAGS = 52;
const INFO_NAME = 56;
const NAME_SIZE = 63;

const EBUSY = -16;
const ENXIO = -6;
const ENOENT = -2;
/** Others attach devices at the same time: the free one may be taken when it is configured. */
const ATTEMPTS = 50;

/** An attached device. */
export interface LoopDevice {
  /** "/dev/loop3". */
  path: string;
  /** Keeps it attached while it is not mounted; close it. */
  fd: number;
}

/**
 * Attaches `file`, a regular file, to a free device. The kernel detaches it when nobody has it open or mounted any more,
 * also after a crash, unless {@link keepLoop} is called.
 */
export async function attachLoop(file: string, readonly: boolean): Promise<LoopDevice> {
  const mode = readonly ? O_RDONLY : O_RDWR;
  const backing = syscall("openat", file, AT_FDCWD, file, mode | O_NONBLOCK | O_CLOEXEC, 0);
  try {
    checkRegular(backing, file);
    for (let attempt = 1; ; attempt++) {
      const control = syscall("openat", CONTROL, AT_FDCWD, CONTROL, O_RDWR | O_CLOEXEC, 0);
      const number = rawSyscall("ioctl", control, LOOP_CTL_GET_FREE, 0);
      close(control);
      if (number < 0) throw syscallError("ioctl LOOP_CTL_GET_FREE", -number, CONTROL);
      const path = `/dev/loop${number}`;
      const fd = syscall("openat", path, AT_FDCWD, path, mode | O_CLOEXEC, 0);
      const config = Buffer.alloc(CONFIG_SIZE);
      config.writeUInt32LE(backing, 0);
      config.writeUInt32LE(
        LO_FLAGS_AUTOCLEAR | (readonly ? LO_FLAGS_READ_ONLY : 0),
        CONFIG_INFO + INFO_FLAGS,
      );
      config.write(file.slice(0, NAME_SIZE), CONFIG_INFO + INFO_NAME, NAME_SIZE, "latin1");
      const done = rawSyscall("ioctl", fd, LOOP_CONFIGURE, config);
      if (done >= 0) return { path, fd };
      close(fd);
      if (done !== EBUSY || attempt === ATTEMPTS) throw syscallError("ioctl LOOP_CONFIGURE", -done, path);
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 5 * attempt));
    }
  } finally {
    close(backing);
  }
}

/** Has a device stay when nobody uses it, until {@link detachLoop}. */
export function keepLoop({ path, fd }: LoopDevice): void {
  const info = Buffer.alloc(INFO_SIZE);
  const got = rawSyscall("ioctl", fd, LOOP_GET_STATUS64, info);
  if (got < 0) throw syscallError("ioctl LOOP_GET_STATUS64", -got, path);
  info.writeUInt32LE(info.readUInt32LE(INFO_FLAGS) & ~LO_FLAGS_AUTOCLEAR, INFO_FLAGS);
  const set = rawSyscall("ioctl", fd, LOOP_SET_STATUS64, info);
  if (set < 0) throw syscallError("ioctl LOOP_SET_STATUS64", -set, path);
}

/** statx(2) of the open file: anything but a regular file is refused. */
function checkRegular(fd: number, path: string): void {
  const memory = Buffer.alloc(256);
  const STATX_TYPE = 1;
  const result = rawSyscall("statx", fd, "", AT_EMPTY_PATH, STATX_TYPE, memory);
  if (result < 0) throw syscallError("statx", -result, path);
  const type = memory.readUInt16LE(28) & S_IFMT;
  if (type !== S_IFREG)
    throw new BerthError(
      "invalid_argument",
      `${path}: found a file of type 0o${type.toString(8)}, expected a regular file for a loop device`,
      { path },
    );
}

/** Path of the file that a device shows, as the kernel names it; undefined if it shows none. */
export function backingFileOf(device: string): string | undefined {
  const name = device.slice(device.lastIndexOf("/") + 1);
  return readFileIfAny(`/sys/block/${name}/loop/backing_file`)?.toString().trimEnd();
}

/** Detaches a device: at once, or when it is no longer mounted. One that shows nothing is left alone. */
export function detachLoop(device: string): void {
  const fd = rawSyscall("openat", AT_FDCWD, device, O_RDONLY | O_CLOEXEC, 0);
  if (fd === ENOENT || fd === ENXIO) return;
  if (fd < 0) throw syscallError("openat", -fd, device);
  try {
    const done = rawSyscall("ioctl", fd, LOOP_CLR_FD, 0);
    if (done < 0 && done !== ENXIO) throw syscallError("ioctl LOOP_CLR_FD", -done, device);
  } finally {
    close(fd);
  }
}
