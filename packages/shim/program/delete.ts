/**
 * `delete`: containerd calls it for a container whose shim has gone. If the serving process is alive after all, it removes
 * the container; otherwise its records say what is left.
 */
import { DeleteResponseSchema } from "@berth/api/task3";
import { timestamp } from "@berth/api/time";
import { BerthError, isCode } from "@berth/base";
import type { Sys } from "@berth/sys";
import { create, toBinary } from "@bufbuild/protobuf";
import type { Exit } from "../contract/task-shim.ts";
import { reach, remove } from "./ask.ts";
import type { ShimCall } from "./flags.ts";
import { groupOf, type Place, placeOf } from "./place.ts";

/** Runs `delete`; returns its output. */
export async function deleteContainer(sys: Sys, call: ShimCall): Promise<Uint8Array> {
  const { namespace, id } = call;
  if (!namespace) throw new BerthError("invalid_argument", "-namespace: found none, expected one");
  if (!id) throw new BerthError("invalid_argument", "-id: found none, expected one");
  const bundle = call.bundle || sys.cwd();
  const place = placeOf(sys, call.address ?? "", namespace, groupIn(sys, bundle), socketFolder(sys, bundle));
  const exit = (await askServing(sys, place, id)) ?? (await removeDead(sys, place, namespace, id, bundle));
  const { pid, exitStatus, exitedAt } = exit;
  return toBinary(
    DeleteResponseSchema,
    create(DeleteResponseSchema, { pid, exitStatus, exitedAt: timestamp(exitedAt) }),
  );
}

/** Like {@link groupOf}, for a bundle that may be half gone. */
function groupIn(sys: Sys, bundle: string): string | undefined {
  try {
    return groupOf(sys, bundle);
  } catch (error) {
    if (isCode(error, "not_found")) return undefined;
    throw error;
  }
}

/** containerd's folder for sockets, as noted by `start`. */
function socketFolder(sys: Sys, bundle: string): string | undefined {
  const link = `${bundle}/s`;
  return sys.lstat(link)?.kind === "symlink" ? sys.readlink(link) : undefined;
}

async function askServing(sys: Sys, place: Place, id: string): Promise<(Exit & { pid: number }) | undefined> {
  const fd = reach(sys, place.socket);
  if (fd === undefined) return undefined;
  try {
    const { pid, exitStatus, exitedAt } = await remove(sys, fd, id);
    return { pid, exitStatus, exitedAt };
  } catch (error) {
    if (isCode(error, "unavailable")) return undefined;
    throw error;
  } finally {
    sys.close(fd);
  }
}

// Loaded on use: containerd calls `delete` after each container, and mostly nothing is left.
async function removeDead(sys: Sys, place: Place, namespace: string, id: string, bundle: string) {
  const { removeRemains } = await import("./remains.ts");
  return removeRemains(sys, place, namespace, id, bundle);
}
