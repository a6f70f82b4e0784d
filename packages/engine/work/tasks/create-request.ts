/** What the shim is asked for a task: a client's request, its container's record, and what the daemon has to do first. */
import { type tasks, types } from "@berth/api";
import { BerthError, present, stage } from "@berth/base";
import { type CreateTask, readTaskOptions, type SandboxShim, type Stdio } from "@berth/shim";
import { create } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { fromMount, type Mount } from "../../base/core/wire.ts";
import type { ContainerRecord } from "../../objects/containers/container-store.ts";
import { withRotation } from "../../objects/containers/log-rotation.ts";
import { findActivation } from "../../objects/mounts/rows.ts";
import { needsActivation } from "../mounts/plan-activation.ts";
import { BUILT_IN, foreignRuntime } from "./runtime.ts";
import type { TaskStores } from "./task-stores.ts";

/** A task to create: the relevant fields of containerd's request. */
export type TaskRequest = Pick<tasks.CreateTaskRequest, "containerId" | keyof Stdio> & {
  /** Empty: the mounts of the container's snapshot. */
  rootfs: readonly Mount[];
  options?: Any | undefined;
  /** Image to restore from. */
  checkpoint?: types.Descriptor | undefined;
};

/** The shim's request, except for a checkpoint. */
export async function createRequest(
  stores: TaskStores,
  ns: string,
  record: ContainerRecord,
  request: TaskRequest,
): Promise<CreateTask> {
  const { stdin, stdout, stderr, terminal, options } = request;
  const rotation = stores.rotation ?? { bytes: 0, files: 1 };
  const sandbox = await sandboxOf(stores, ns, record);
  // The request's options replace the record's.
  const given = [options, record.runtime!.options].find((o) => o !== undefined && o.value.length > 0);
  const runtime =
    sandbox === undefined ? foreignRuntime(record, given, stores.builtIn ?? BUILT_IN) : record.runtime!.name;
  return {
    namespace: ns,
    id: record.id,
    stdio: withRotation({ stdin, stdout, stderr, terminal }, record.labels, rotation),
    spec: record.spec!.value,
    rootfs: await rootfsOf(stores, ns, record, request),
    ...(runtime === undefined
      ? { options: readTaskOptions(given) }
      : { runtime, ...present({ sandbox, runtimeOptions: given }) }),
  };
}

/**
 * The shim of the sandbox that a container is in. A sandbox without a record does not count, as in containerd: clients
 * of its version 1 wrote ids there that were none.
 */
async function sandboxOf(
  { controller, sandboxes }: TaskStores,
  ns: string,
  { id, sandbox }: ContainerRecord,
): Promise<SandboxShim | undefined> {
  if (sandbox === "" || controller === undefined) return undefined;
  const found = (await controller()).shimOf({ namespace: ns, id: sandbox });
  if (found === undefined && sandboxes?.find(ns, sandbox) !== undefined)
    throw new BerthError(
      "failed_precondition",
      `container ${id}: its sandbox ${sandbox} does not run: failed precondition`,
      { stage: "sandbox", hint: "create and start the sandbox first" },
    );
  return found;
}

/**
 * What the shim is to mount: the request's mounts, or those of the container's snapshot, for clients that leave this to
 * the daemon. Of mounts that need the daemon, its part is made first.
 */
async function rootfsOf(
  { activations, snapshots }: TaskStores,
  ns: string,
  { id, snapshotter, snapshotKey }: ContainerRecord,
  { rootfs }: TaskRequest,
): Promise<Mount[]> {
  const own = rootfs.length === 0 && snapshotKey !== "";
  const wanted = own ? await snapshots.mounts({ ns, snapshotter }, snapshotKey) : rootfs.map(fromMount);
  if (activations === undefined || !needsActivation(wanted)) return wanted;
  return stage("activate mounts", {}, async () => {
    const made = wanted.map((mount) => create(types.MountSchema, mount));
    return (await (await activations()).forTask(ns, id, made)).map(fromMount);
  });
}

/** Undoes the daemon's part of a task's root file system. */
export async function endMounts({ activations, db }: TaskStores, ns: string, id: string): Promise<void> {
  if (activations !== undefined && findActivation(db, ns, id) !== undefined)
    await (await activations()).endTask(ns, id);
}
