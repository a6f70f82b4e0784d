/** rtnetlink(7) messages: parses attributes and encodes requests. Pure. */

export const RTM_NEWLINK = 16;
export const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
export const RTM_GETADDR = 22;
export const IFLA_IFNAME = 3;
export const IFLA_NET_NS_PID = 19;
export const IFLA_NEW_IFINDEX = 49;
export const IFA_ADDRESS = 1;
export const IFA_LOCAL = 2;
export const IFA_BROADCAST = 4;

const HEADER = 16;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_CREATE_EXCL = 0x600;

const aligned = (n: number) => (n + 3) & ~3;

/** Parses the attributes after a fixed structure of `offset` bytes, by type. */
export function attributes(body: Uint8Array, offset: number): Map<number, Uint8Array> {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const out = new Map<number, Uint8Array>();
  for (let at = offset; at + 4 <= body.length; ) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > body.length) break;
    out.set(view.getUint16(at + 2, true) & 0x3fff, body.subarray(at + 4, at + length));
    at += aligned(length);
  }
  return out;
}

/** Encodes a request with NLM_F_ACK: the fixed structure, then attributes. With `create`, an existing object is an error. */
export function request(
  type: number,
  structure: Uint8Array,
  attrs: readonly (readonly [type: number, value: Uint8Array])[],
  create = false,
): Uint8Array {
  const size = attrs.reduce((sum, [, value]) => sum + aligned(4 + value.length), HEADER + structure.length);
  const out = new Uint8Array(size);
  const view = new DataView(out.buffer);
  view.setUint32(0, size, true);
  view.setUint16(4, type, true);
  view.setUint16(6, NLM_F_REQUEST | NLM_F_ACK | (create ? NLM_F_CREATE_EXCL : 0), true);
  out.set(structure, HEADER);
  let at = HEADER + structure.length;
  for (const [attr, value] of attrs) {
    view.setUint16(at, 4 + value.length, true);
    view.setUint16(at + 2, attr, true);
    out.set(value, at + 4);
    at += aligned(4 + value.length);
  }
  return out;
}

/** Encodes a 32-bit number. */
export function u32(value: number): Uint8Array {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, value, true);
  return out;
}

/** Encodes a name with its final NUL. */
export function name(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}
