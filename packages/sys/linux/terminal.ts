/** Terminal modes and window size, by ioctl_tty(2). */
import { rawSyscall } from "./binding.ts";

const TCGETS = 0x5401;
const TCSETSW = 0x5403;
const TIOCGWINSZ = 0x5413;
const TIOCSWINSZ = 0x5414;
/** The kernel's struct termios: four words of flags, the line discipline, 19 control characters. */
const TERMIOS_SIZE = 36;
// As cfmakeraw(3), but with output processing: the terminal behind leaves line ends to this one.
const INPUT_OFF = 0o1 | 0o2 | 0o10 | 0o40 | 0o100 | 0o200 | 0o400 | 0o2000;
const LOCAL_OFF = 0o10 | 0o100 | 0o2 | 0o1 | 0o100000;
const CONTROL_OFF = 0o60 | 0o400;
const CS8 = 0o60;

/** Sets raw mode; returns the old modes for {@link restoreTerminal}, undefined if it is no terminal. */
export function makeRaw(fd: number): Uint8Array | undefined {
  const before = Buffer.alloc(TERMIOS_SIZE);
  if (rawSyscall("ioctl", fd, TCGETS, before) < 0) return undefined;
  const raw = Buffer.from(before);
  const change = (at: number, off: number, on = 0) =>
    raw.writeUInt32LE(((raw.readUInt32LE(at) & ~off) | on) >>> 0, at);
  change(0, INPUT_OFF);
  change(8, CONTROL_OFF, CS8);
  change(12, LOCAL_OFF);
  rawSyscall("ioctl", fd, TCSETSW, raw);
  return before;
}

/** Restores the modes that {@link makeRaw} returned. */
export function restoreTerminal(fd: number, modes: Uint8Array): void {
  rawSyscall("ioctl", fd, TCSETSW, modes);
}

/** Copies the window size; does nothing if either is no terminal. */
export function copyTerminalSize(from: number, to: number): void {
  const size = Buffer.alloc(8);
  if (rawSyscall("ioctl", from, TIOCGWINSZ, size) >= 0) rawSyscall("ioctl", to, TIOCSWINSZ, size);
}
