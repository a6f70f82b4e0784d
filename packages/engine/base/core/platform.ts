/** The platform that this daemon runs containers on. */
import { arch } from "node:os";
import { type Platform, platformOfNode } from "@berth/oci";

/** This machine. */
export function hostPlatform(): Platform {
  return platformOfNode(arch());
}
