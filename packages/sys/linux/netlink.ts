/** rtnetlink(7) dumps. */
import { syscall } from "./binding.ts";
import { close } from "./files.ts";

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const NLM_F_REQUEST_DUMP = 0x301;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const HEADER = 16;
/** The kernel answers in pieces of at most 32 KiB. */
const PIECE = 65536;

/**
 * Dumps the objects of a type (RTM_GETLINK, RTM_GETADDR) in the caller's network namespace; `family` is 0 for any. Each
 * result is a message without its header: a fixed structure, then attributes.
 */
export function netlinkDump(type: number, family: number): Uint8Array[] {
  const fd = syscall("socket", undefined, AF_NETLINK, SOCK_RAW_CLOEXEC, 0);
  try {
    const request = Buffer.alloc(HEADER + 16);
    request.writeUInt32LE(request.length, 0);
    request.writeUInt16LE(type, 4);
    request.writeUInt16LE(NLM_F_REQUEST_DUMP, 6);
    request[HEADER] = family;
    syscall("write", undefined, fd, request, request.length);
    const out: Uint8Array[] = [];
    for (;;) {
      const piece = Buffer.alloc(PIECE);
      const size = syscall("read", undefined, fd, piece, PIECE);
      if (size < HEADER) return out;
      for (let at = 0; at + HEADER <= size; ) {
        const length = piece.readUInt32LE(at);
        const kind = piece.readUInt16LE(at + 4);
        if (kind === NLMSG_DONE || kind === NLMSG_ERROR || length < HEADER) return out;
        out.push(new Uint8Array(piece.subarray(at + HEADER, at + length)));
        at += (length + 3) & ~3;
      }
    }
  } finally {
    close(fd);
  }
}
