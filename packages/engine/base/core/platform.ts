/** The platform of this daemon's containers. */
import { arch } from "node:os";
import { type Platform, platformOfNode } from "@berth/oci";

/** The platform of this machine. */
export function hostPlatform(): Platform {
  return platformOfNode(arch());
}
