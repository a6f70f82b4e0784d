/**
 * `delete`: containerd calls it for a container whose shim has gone. Where the process that serves lives after all, it
 * does the work; else what it kept of the container says what there is to be removed.
 */
import { DeleteResponseSchema } from "@berth/api/task3";
import { timestamp } from "@berth/api/time";
import { BerthError, isCode } from "@berth/base";
import { commandSys as sys } from "@berth/sys";
import { create, toBinary } from "@bufbuild/protobuf";
import type { Exit } from "../contract/task-shim.ts";
import { reach, remove } from "./ask.ts";
import type { ShimCall } from "./flags.ts";
import { groupOf, type Place, placeOf } from "./place.ts";

/** Carries the call out; returns what goes to standard output. */
export async function deleteContainer(call: ShimCall): Promise<Uint8Array> {
  const { namespace, id } = call;
  if (!namespace) throw new BerthError("invalid_argument", "-namespace: found none, expected one");
  if (!id) throw new BerthError("invalid_argument", "-id: found none, expected one");
  const bundle = call.bundle || sys.cwd();
  const place = placeOf(sys, call.address ?? "", namespace, groupIn(bundle), socketFolder(bundle));
  const exit = (await askServing(place, id)) ?? (await removeDead(place, namespace, id, bundle));
  const { pid, exitStatus, exitedAt } = exit;
  return toBinary(
    DeleteResponseSchema,
    create(DeleteResponseSchema, { pid, exitStatus, exitedAt: timestamp(exitedAt) }),
  );
}

/** A bundle may be half gone. */
function groupIn(bundle: string): string | undefined {
  try {
    return groupOf(sys, bundle);
  } catch (error) {
    if (isCode(error, "not_found")) return undefined;
    throw error;
  }
}

/** The folder that containerd wanted sockets in, as `start` noted it. */
function socketFolder(bundle: string): string | undefined {
  const link = `${bundle}/s`;
  return sys.lstat(link)?.kind === "symlink" ? sys.readlink(link) : undefined;
}

async function askServing(place: Place, id: string): Promise<(Exit & { pid: number }) | undefined> {
  const fd = reach(place.socket);
  if (fd === undefined) return undefined;
  try {
    const { pid, exitStatus, exitedAt } = await remove(fd, id);
    return { pid, exitStatus, exitedAt };
  } catch (error) {
    if (isCode(error, "unavailable")) return undefined;
    throw error;
  } finally {
    sys.close(fd);
  }
}

// Loaded where it is needed: containerd calls for a deletion at each container's end, and mostly there is nothing left.
async function removeDead(place: Place, namespace: string, id: string, bundle: string) {
  const { removeRemains } = await import("./remains.ts");
  return removeRemains(place, namespace, id, bundle);
}
