/**
 * Files of the shim that outlive the daemon, below its state folder (on a file system that is empty after a reboot):
 *
 * - `io.containerd.runtime.v2.task/NAMESPACE/ID/`: the bundle, in containerd's layout: config.json, rootfs/, and
 *   `task.json`, `exec-EXECID.json`: records, written before the action
 * - `keepers/TOKEN.sock`, `keepers/TOKEN.exit`: a process's keeper and its exit record; short names, as the path of a
 *   socket is limited to 107 bytes and an id may have 128
 * - `runc/NAMESPACE/ID/`: the runtime's records
 */
import { BerthError } from "@berth/base";
import type { Sys } from "@berth/sys";
import type { ProcessFacts } from "../contract/task-process.ts";
import type { RootfsMount, TaskOptions } from "../contract/task-shim.ts";

/** The record of a process. */
export interface ProcessRecord extends ProcessFacts {
  /** Base name of the keeper's files. */
  token: string;
  /** Start time of the pid in clock ticks since boot, and that boot's id: they guard against reuse of the pid. */
  startTime?: number;
  bootId?: string;
  /** OOM kills that were reported. */
  ooms?: number;
  /** `process` object of an added process, as JSON. */
  process?: string;
  /** Init process: options of the task. */
  options?: TaskOptions;
  /** Init process from a checkpoint: the image's folder, and the mounts of the root file system for start. */
  checkpoint?: string;
  rootfs?: readonly RootfsMount[];
}

/** Prefix of bundles and records that are being removed. No id begins with a dot. */
export const GONE = ".gone-";

/** Paths below the state folder. */
export class Folders {
  readonly #state: string;

  constructor(state: string) {
    this.#state = state;
  }

  /** Folder of all bundles. */
  get tasks(): string {
    return `${this.#state}/io.containerd.runtime.v2.task`;
  }
  get keepers(): string {
    return `${this.#state}/keepers`;
  }
  bundle(namespace: string, id: string): string {
    return `${this.tasks}/${namespace}/${id}`;
  }
  runtimeRoot(namespace: string): string {
    return `${this.#state}/runc/${namespace}`;
  }
  socket(token: string): string {
    return `${this.keepers}/${token}.sock`;
  }
  exitName(token: string): string {
    return `${token}.exit`;
  }
  exit(token: string): string {
    return `${this.keepers}/${token}.exit`;
  }
  /** Record of a process. */
  record(bundle: string, execId: string): string {
    return `${bundle}/${execId === "" ? "task.json" : `exec-${execId}.json`}`;
  }

  /** Name of a bundle that is being removed. */
  gone(namespace: string, token: string): string {
    return `${this.tasks}/${namespace}/${GONE}${token}`;
  }

  /** Name of the record of an added process that is being removed. */
  goneProcess(bundle: string, execId: string): string {
    return `${bundle}/${GONE}exec-${execId}.json`;
  }

  /** Removes a keeper's files. */
  forget(sys: Sys, token: string): void {
    sys.unlink(this.socket(token));
    sys.unlink(this.exit(token));
  }
}

/** Refuses names of clients that are no file names. */
export function checkName(field: string, name: string): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(name)) {
    throw new BerthError(
      "invalid_argument",
      `${field}: found ${JSON.stringify(name)}, expected at most 128 letters, digits and any of _ . - with a letter or digit first`,
    );
  }
}
