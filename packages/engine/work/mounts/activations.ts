/**
 * Activations: mounts that the daemon makes under a name, and keeps until they are deactivated or the collector finds
 * that nothing refers to them. The record comes before the mounts and loses its name before they are undone, so that
 * whatever is below the folder and has no record is garbage.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import { CONTAINERD_LABEL, timestamp, types } from "@berth/api";
import { BerthError, isCode, log } from "@berth/base";
import { create } from "@bufbuild/protobuf";
import { isLabelPath, mergeLabels, notUpdatable } from "../../base/core/mask.ts";
import { KeyedMutex } from "../../base/core/mutex.ts";
import { checkLabels, type Labels } from "../../base/core/names.ts";
import type { Scope } from "../../base/core/scope.ts";
import { now } from "../../base/core/time.ts";
import type { Database } from "../../base/store/database.ts";
import * as rows from "../../objects/mounts/rows.ts";
import type { ActivationFolders } from "./activation-folders.ts";
import { formatMount } from "./format.ts";
import { checkPaths, type Earlier, makeMount } from "./make-mount.ts";
import { makeFolders } from "./mkdir.ts";
import { Place } from "./places.ts";
import { LOOP, type PlannedMount, planActivation } from "./plan-activation.ts";

const MAX_NAME = 1024;

/** How to activate. */
export interface ActivateOptions {
  labels: Labels;
  /** Make all mounts. */
  whole: boolean;
}

/** Activations of all namespaces. */
export class Activations {
  readonly #db: Database;
  readonly #folders: ActivationFolders;
  readonly #own: Place;
  /** Where folders may be made for mounts. */
  readonly #places: readonly Place[];
  readonly #turns = new KeyedMutex();

  /** `snapshots` is the folder of the snapshotters, whose mounts may ask for folders there. */
  constructor(db: Database, folders: ActivationFolders, snapshots: string) {
    this.#db = db;
    this.#folders = folders;
    this.#own = new Place(folders.root);
    this.#places = [this.#own, new Place(snapshots)];
  }

  /** Makes mounts; "unimplemented" if none needs the daemon, "already_exists" if the name is taken. */
  activate(
    scope: Scope,
    name: string,
    mounts: readonly types.Mount[],
    { labels, whole }: ActivateOptions,
  ): Promise<types.ActivationInfo> {
    if (name === "" || Buffer.byteLength(name) > MAX_NAME)
      throw new BerthError(
        "invalid_argument",
        `name: found ${Buffer.byteLength(name)} bytes, expected 1 to ${MAX_NAME}: invalid argument`,
      );
    checkLabels(labels);
    const plan = planActivation(mounts, whole);
    return this.#turns.run(`${scope.namespace}/${name}`, async () => {
      const number = this.#db.transaction(() => rows.insertActivation(this.#db, scope, name, labels));
      try {
        await this.#folders.make(number);
        const active: types.ActiveMount[] = [];
        const earlier = { own: this.#own, devices: new Map<string, string>() };
        for (const planned of plan.mounts.slice(0, plan.made))
          active.push(await this.#make(number, planned, active, earlier));
        const system = plan.mounts.slice(plan.made).map((planned, i) => {
          // As in containerd, of the mounts that are left only the first is transformed.
          const mount = i === 0 ? this.#transform(planned, active) : planned.mount;
          checkPaths(mount, earlier, planned.where);
          return mount;
        });
        if (plan.bind) {
          const source = active.at(-1)!.mountPoint;
          system.push(create(types.MountSchema, { type: "bind", source, options: ["rbind"] }));
        }
        const info = create(types.ActivationInfoSchema, { name, active, system, labels });
        this.#db.transaction(() => rows.saveInfo(this.#db, number, info));
        return info;
      } catch (error) {
        this.#db.transaction(() => rows.deleteActivation(this.#db, number));
        this.#folders.retire(number);
        await this.#folders.settled();
        throw error;
      }
    });
  }

  #transform({ mount, transforms, where }: PlannedMount, active: readonly types.ActiveMount[]): types.Mount {
    let made = mount;
    for (const transform of transforms)
      made =
        transform === "format" ? formatMount(made, active, where) : makeFolders(made, this.#places, where);
    return made;
  }

  async #make(
    number: number,
    planned: PlannedMount,
    active: readonly types.ActiveMount[],
    earlier: Earlier & { devices: Map<string, string> },
  ): Promise<types.ActiveMount> {
    const mount = this.#transform(planned, active);
    const index = active.length;
    const mountPoint = this.#folders.path(number, String(index));
    if (mount.type === LOOP) {
      const readonly = mount.options.includes("ro");
      earlier.devices.set(mountPoint, await this.#folders.attach(number, index, mount.source, readonly));
    } else await makeMount(mount, pointIn(mountPoint, mount.target, planned.where), earlier, planned.where);
    return create(types.ActiveMountSchema, { mount, mountPoint, mountedAt: timestamp(now()) });
  }

  /** Undoes an activation; "not_found" if there is none. */
  deactivate(ns: string, name: string): Promise<void> {
    return this.#turns.run(`${ns}/${name}`, async () => {
      const found = rows.findActivation(this.#db, ns, name);
      if (found === undefined) throw new BerthError("not_found", `mount ${JSON.stringify(name)}: not found`);
      this.#db.transaction(() => rows.deleteActivation(this.#db, found.number));
      await this.#db.settled();
      try {
        await this.#folders.clear(found.number);
      } catch (error) {
        this.#folders.retire(found.number);
        throw error;
      }
    });
  }

  /** Changes labels; "invalid_argument" for anything else. */
  update(
    ns: string,
    wanted: types.ActivationInfo,
    paths: readonly string[] | undefined,
  ): types.ActivationInfo {
    return this.#db.transaction(() => {
      const info = rows.getInfo(this.#db, ns, wanted.name);
      let { labels } = info;
      for (const path of paths ?? ["labels"]) {
        if (!isLabelPath(path)) throw notUpdatable(path, "mounts");
        labels = mergeLabels(path, labels, wanted.labels);
      }
      checkLabels(labels);
      const next = { ...info, labels };
      rows.saveInfo(this.#db, rows.findActivation(this.#db, ns, wanted.name)!.number, next);
      return next;
    });
  }

  /**
   * What a task's shim has to mount, after the daemon's part, which lasts until the task is deleted or its container is
   * gone. A name that is active already is used again, as containerd does.
   */
  async forTask(ns: string, id: string, mounts: readonly types.Mount[]): Promise<types.Mount[]> {
    const labels = { [CONTAINERD_LABEL.gcBackRefContainer]: id };
    try {
      const scope = { namespace: ns, lease: undefined };
      return (await this.activate(scope, id, mounts, { labels, whole: false })).system;
    } catch (error) {
      if (!isCode(error, "already_exists")) throw error;
      return rows.getInfo(this.#db, ns, id).system;
    }
  }

  /** Undoes what {@link forTask} did, if anything. */
  async endTask(ns: string, id: string): Promise<void> {
    const found = rows.findActivation(this.#db, ns, id);
    if (found?.info?.labels[CONTAINERD_LABEL.gcBackRefContainer] !== id) return;
    await this.deactivate(ns, id).catch((error: unknown) => {
      log.warn("a task's mounts could not be undone", { id, error: BerthError.from(error).message });
    });
  }
}

/** Where below its mount point something is mounted: the folders are the daemon's own, still empty. */
function pointIn(mountPoint: string, target: string, where: string): string {
  const steps = target.split("/").filter((step) => step !== "" && step !== ".");
  if (steps.includes(".."))
    throw new BerthError(
      "invalid_argument",
      `${where}.target: found ".." in ${JSON.stringify(target)}, expected a path below the mount point: invalid argument`,
    );
  const point = join(mountPoint, ...steps);
  fs.mkdirSync(point, { recursive: true, mode: 0o700 });
  return point;
}
