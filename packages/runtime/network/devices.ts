/** Looks up host network devices of linux.netDevices, with their addresses. */
import { BerthError } from "@berth/base";
import type { Linux } from "@berth/oci";
import type { Sys } from "@berth/sys";
import { attributes, IFA_ADDRESS, IFLA_IFNAME, RTM_GETADDR, RTM_GETLINK } from "./messages.ts";

/** An address of a device: fields and attributes of ifaddrmsg (rtnetlink(7)). */
export interface DeviceAddress {
  family: number;
  prefix: number;
  attributes: ReadonlyMap<number, Uint8Array>;
}

/** A device to move into a container. */
export interface NetDevice {
  /** Name on the host. */
  name: string;
  /** Name in the container. */
  renamed: string;
  /** Interface index on the host. */
  index: number;
  addresses: readonly DeviceAddress[];
}

/** Sizes of struct ifinfomsg and struct ifaddrmsg. */
const LINK = 16;
const ADDRESS = 8;
const IFA_F_PERMANENT = 0x80;
const RT_SCOPE_UNIVERSE = 0;

/** Looks up the devices of linux.netDevices; "not_found" if the host lacks one. */
export function findNetDevices(sys: Sys, requested: Linux["netDevices"]): NetDevice[] {
  const names = Object.entries(requested ?? {});
  if (names.length === 0) return [];
  const links = new Map<string, number>();
  for (const body of sys.netlinkDump(RTM_GETLINK, 0)) {
    const name = attributes(body, LINK).get(IFLA_IFNAME);
    const index = new DataView(body.buffer, body.byteOffset).getInt32(4, true);
    if (name !== undefined) links.set(new TextDecoder().decode(name).replace(/\0.*$/, ""), index);
  }
  const addresses = sys.netlinkDump(RTM_GETADDR, 0);
  return names.map(([name, { name: renamed }]) => {
    const index = links.get(name);
    if (index === undefined)
      throw new BerthError("not_found", `linux.netDevices["${name}"]: the host has no such network device`, {
        stage: "network",
        hint: "`ip link` lists those of this network namespace",
      });
    return { name, renamed: renamed || name, index, addresses: addressesOf(addresses, index) };
  });
}

/** Permanent addresses of global scope; the kernel assigns link-local ones itself. */
function addressesOf(bodies: readonly Uint8Array[], index: number): DeviceAddress[] {
  return bodies.flatMap((body) => {
    const view = new DataView(body.buffer, body.byteOffset);
    const [family, prefix, flags, scope] = [body[0]!, body[1]!, body[2]!, body[3]!];
    if (view.getUint32(4, true) !== index || scope !== RT_SCOPE_UNIVERSE || !(flags & IFA_F_PERMANENT))
      return [];
    const all = attributes(body, ADDRESS);
    return all.has(IFA_ADDRESS) ? [{ family, prefix, attributes: all }] : [];
  });
}
