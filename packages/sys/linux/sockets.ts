/** Unix sockets: pairs, connect, bind, and descriptors over sendmsg(2) and recvmsg(2) (SCM_RIGHTS). */
import { BerthError } from "@berth/base";
import { O_CLOEXEC } from "./abi.ts";
import { addon, rawSyscall, syscall, syscallError } from "./binding.ts";
import { close } from "./files.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_SEQPACKET = 5;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SCM_RIGHTS = 1;
const MSG_CTRUNC = 0x8;
const MSG_TRUNC = 0x20;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
/** struct cmsghdr without its data. */
const CONTROL_HEADER = 16;
const MAX_DESCRIPTORS = 4;

/** socketpair(2), close-on-exec: SOCK_STREAM or SOCK_SEQPACKET. */
export function socketPair(kind: "stream" | "packets"): [number, number] {
  const fds = new Int32Array(2);
  const type = kind === "stream" ? SOCK_STREAM : SOCK_SEQPACKET;
  syscall("socketpair", undefined, AF_UNIX, type | O_CLOEXEC, 0, fds);
  return [fds[0]!, fds[1]!];
}

/** Connects or binds a new socket; a leading NUL makes the name an abstract one (unix(7)). */
function attach(call: "connect" | "bind", path: string, type: number): number {
  const name = Buffer.from(path);
  if (name.length > 107) {
    throw new BerthError("invalid_argument", `socket path ${path} is longer than 107 bytes`, { path });
  }
  const address = Buffer.alloc(110);
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  const fd = syscall("socket", path, AF_UNIX, type | O_CLOEXEC, 0);
  // A path ends with a NUL, an abstract name with the address.
  const result = rawSyscall(call, fd, address, 2 + name.length + (path.startsWith("\0") ? 0 : 1));
  if (result < 0) {
    close(fd);
    throw syscallError(call, -result, path);
  }
  return fd;
}

/** Connects to a unix socket. */
export function connectUnix(path: string, kind: "stream" | "datagram"): number {
  return attach("connect", path, kind === "stream" ? SOCK_STREAM : SOCK_DGRAM);
}

/** pid of a unix socket's peer (SO_PEERCRED); undefined if the kernel does not say. */
export function peerPid(fd: number): number | undefined {
  const credentials = new Int32Array(3);
  const size = new Int32Array([credentials.byteLength]);
  const result = rawSyscall("getsockopt", fd, SOL_SOCKET, SO_PEERCRED, credentials, size);
  return result < 0 ? undefined : credentials[0];
}

/** Binds a new datagram socket to `path`. */
export function bindDatagram(path: string): number {
  return attach("bind", path, SOCK_DGRAM);
}

/** A struct msghdr for one buffer and a control buffer; both must outlive the call. */
function messageHeader(data: Uint8Array, control: Uint8Array): { header: Buffer; keep: unknown } {
  const part = Buffer.alloc(16);
  part.writeBigUInt64LE(addon().address(data), 0);
  part.writeBigUInt64LE(BigInt(data.length), 8);
  const header = Buffer.alloc(56);
  header.writeBigUInt64LE(addon().address(part), 16);
  header.writeBigUInt64LE(1n, 24);
  header.writeBigUInt64LE(addon().address(control), 32);
  header.writeBigUInt64LE(BigInt(control.length), 40);
  return { header, keep: [part, data, control] };
}

/** Sends bytes with a copy of a descriptor. */
export function sendDescriptor(socket: number, bytes: Uint8Array, descriptor: number): void {
  const control = Buffer.alloc(CONTROL_HEADER + 8);
  control.writeBigUInt64LE(BigInt(CONTROL_HEADER + 4), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  control.writeInt32LE(descriptor, CONTROL_HEADER);
  const data = Buffer.from(bytes);
  const { header, keep } = messageHeader(data, control);
  const result = rawSyscall("sendmsg", socket, header, MSG_NOSIGNAL);
  void keep;
  if (result < 0) throw syscallError("sendmsg", -result);
}

/**
 * Receives a message (or what a stream holds) with its descriptors, close-on-exec; no bytes: the peer has closed. A message
 * longer than `size` is an error, and its descriptors are closed.
 */
export function receiveMessage(socket: number, size: number): { bytes: Uint8Array; descriptors: number[] } {
  const data = Buffer.alloc(size);
  const control = Buffer.alloc(CONTROL_HEADER + 4 * MAX_DESCRIPTORS);
  const { header, keep } = messageHeader(data, control);
  const n = rawSyscall("recvmsg", socket, header, MSG_CMSG_CLOEXEC);
  void keep;
  if (n < 0) throw syscallError("recvmsg", -n);
  const descriptors: number[] = [];
  const filled = Number(header.readBigUInt64LE(40));
  const isRights = filled >= CONTROL_HEADER && control.readInt32LE(8) === SOL_SOCKET;
  if (isRights && control.readInt32LE(12) === SCM_RIGHTS) {
    const end = Math.min(filled, Number(control.readBigUInt64LE(0)));
    for (let at = CONTROL_HEADER; at + 4 <= end; at += 4) descriptors.push(control.readInt32LE(at));
  }
  if (header.readInt32LE(48) & (MSG_TRUNC | MSG_CTRUNC)) {
    for (const fd of descriptors) close(fd);
    throw new BerthError(
      "resource_exhausted",
      `a message is longer than ${size} bytes, or brings too many descriptors`,
      {
        syscall: "recvmsg",
      },
    );
  }
  return { bytes: data.subarray(0, n), descriptors };
}
