/** Operations that move host network devices into the container, with new names and the same addresses. */
import type { NetDevice } from "../network/devices.ts";
import {
  IFA_ADDRESS,
  IFA_BROADCAST,
  IFA_LOCAL,
  IFLA_IFNAME,
  IFLA_NET_NS_PID,
  IFLA_NEW_IFINDEX,
  name,
  RTM_NEWADDR,
  RTM_NEWLINK,
  request,
  u32,
} from "../network/messages.ts";
import type { PlanBuilder } from "./builder.ts";

const IFF_UP = 1;
/** Offset of the pid, the first attribute: after the header (16), ifinfomsg (16) and the attribute's header (4). */
const PID_AT = 36;
/** Interface indexes from here on are not assigned by a new namespace itself, so the device's index can be chosen. */
const INDEX_BASE = 1 << 20;

/** struct ifinfomsg. */
function link(index: number, flags: number): Uint8Array {
  const out = new Uint8Array(16);
  const view = new DataView(out.buffer);
  view.setInt32(4, index, true);
  view.setUint32(8, flags, true);
  view.setUint32(12, flags, true);
  return out;
}

/** struct ifaddrmsg. */
function address(family: number, prefix: number, index: number): Uint8Array {
  const out = new Uint8Array(8);
  out[0] = family;
  out[1] = prefix;
  new DataView(out.buffer).setUint32(4, index, true);
  return out;
}

/** Adds the operations for linux.netDevices. A device loses its addresses when it is moved, so they are added again. */
export function planNetDevices(b: PlanBuilder, devices: readonly NetDevice[]): void {
  b.stage("network");
  for (const device of devices) {
    const index = INDEX_BASE + device.index;
    const move = request(RTM_NEWLINK, link(device.index, 0), [
      [IFLA_NET_NS_PID, u32(0)],
      [IFLA_IFNAME, name(device.renamed)],
      [IFLA_NEW_IFINDEX, u32(index)],
    ]);
    b.add("attach", `move the network device ${device.name}, as ${device.renamed}`, "netlink", [
      PID_AT,
      move,
    ]);
    for (const { family, prefix, attributes } of device.addresses) {
      const kept = [IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST].flatMap((type) => {
        const value = attributes.get(type);
        return value === undefined ? [] : [[type, value] as const];
      });
      b.add("child", `give ${device.renamed} its address again`, "netlink", [
        -1,
        request(RTM_NEWADDR, address(family, prefix, index), kept, true),
      ]);
    }
    b.add("child", `bring up ${device.renamed}`, "netlink", [
      -1,
      request(RTM_NEWLINK, link(index, IFF_UP), []),
    ]);
  }
}
