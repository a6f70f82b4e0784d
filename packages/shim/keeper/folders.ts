/**
 * Where the shim keeps what must outlive the daemon, below its state folder (on a file system that a reboot empties):
 *
 * - `io.containerd.runtime.v2.task/NAMESPACE/ID/`: the bundle, as containerd names it: config.json, rootfs/, and
 *   `task.json`, `exec-EXECID.json`: what was asked for, written before it is done
 * - `keepers/TOKEN.sock`, `keepers/TOKEN.exit`: a process's keeper and its exit record; short names, for a socket's
 *   path may have 107 bytes and ids may have 64 each
 * - `runc/NAMESPACE/ID/`: the runtime's records
 */
import { BerthError } from "@berth/base";
import type { Sys } from "@berth/sys";
import type { ProcessFacts } from "../contract/task-process.ts";
import type { RootfsMount, TaskOptions } from "../contract/task-shim.ts";

/** A process as its file describes it. */
export interface ProcessRecord extends ProcessFacts {
  /** Names the keeper's files. */
  token: string;
  /** Start time of that pid in clock ticks since boot, and the boot: they tell it from a later process of its number. */
  startTime?: number;
  bootId?: string;
  /** How often the out-of-memory killer came, as far as it was told. */
  ooms?: number;
  /** process object of an added process, as JSON. */
  process?: string;
  /** Of a first process: how the task was made. */
  options?: TaskOptions;
  /** Folder of the checkpoint that it starts from, and the mounts of its root file system, which are needed then. */
  checkpoint?: string;
  rootfs?: readonly RootfsMount[];
}

/** How the names of bundles begin that are being removed. */
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
  /** Where a process is written down. */
  record(bundle: string, execId: string): string {
    return `${bundle}/${execId === "" ? "task.json" : `exec-${execId}.json`}`;
  }

  /** Where a bundle goes that is being removed: its task is no more. No id begins with a dot. */
  gone(namespace: string, token: string): string {
    return `${this.tasks}/${namespace}/${GONE}${token}`;
  }

  /** Where the record of an added process goes that is being removed. */
  goneProcess(bundle: string, execId: string): string {
    return `${bundle}/${GONE}exec-${execId}.json`;
  }

  /** Removes a keeper's files. */
  forget(sys: Sys, token: string): void {
    sys.unlink(this.socket(token));
    sys.unlink(this.exit(token));
  }
}

/** Refuses names that could not be a folder's: they come from a client. */
export function checkName(field: string, name: string): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(name)) {
    throw new BerthError(
      "invalid_argument",
      `${field}: found ${JSON.stringify(name)}, expected at most 128 letters, digits and any of _ . - with a letter or digit first`,
    );
  }
}
