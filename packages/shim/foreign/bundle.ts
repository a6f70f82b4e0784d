/**
 * Bundles of foreign shims, at `shims/NAMESPACE/ID` below the state folder (sandboxes' at `sandboxes/NAMESPACE/ID`):
 * config.json, rootfs/, the shim's log FIFO, and
 * `shim.json`, by which a later daemon finds the shim; written before that is started.
 */
import { BerthError, isCode, log } from "@berth/base";
import { linux, type Sys } from "@berth/sys";
import { parseRecord } from "../contract/parse-record.ts";
import type { Stdio } from "../contract/task-shim.ts";
import type { ShimAddress } from "./binary.ts";

/** Content of shim.json. */
export interface ForeignRecord {
  runtime: string;
  program: string;
  /** Set once the shim has been started. */
  shim?: ShimAddress;
  /** Id of the sandbox whose shim it is; absent for a shim of its own. */
  sandbox?: string;
  stdio: Stdio;
  pid: number;
  started: boolean;
  /** Added processes. */
  execs: Record<string, { stdio: Stdio; pid: number; started: boolean }>;
}

/** Paths and files of bundles with one kind of record. */
export class ForeignBundles<Kept = ForeignRecord> {
  readonly #sys: Sys;
  readonly #what: "task" | "sandbox";
  readonly root: string;

  constructor(sys: Sys, stateDir: string, folder: "shims" | "sandboxes" = "shims") {
    this.#sys = sys;
    this.#what = folder === "shims" ? "task" : "sandbox";
    this.root = `${stateDir}/${folder}`;
  }

  path(namespace: string, id: string): string {
    return `${this.root}/${namespace}/${id}`;
  }

  /** All bundles. Folders of containerd-shim-berth-v1, which keeps its own beside them, are none. */
  list(): { namespace: string; id: string }[] {
    const sys = this.#sys;
    const names = (folder: string) => sys.list(folder) ?? [];
    return names(this.root)
      .filter((name) => sys.lstat(`${this.root}/${name}/lock`)?.kind !== "file")
      .flatMap((namespace) => names(`${this.root}/${namespace}`).map((id) => ({ namespace, id })));
  }

  /** Creates a bundle; "already_exists" if there is one. */
  make(namespace: string, id: string, config: Uint8Array, record: Kept): string {
    const sys = this.#sys;
    const bundle = this.path(namespace, id);
    sys.mkdirAll(`${this.root}/${namespace}`, 0o711);
    try {
      sys.mkdir(bundle, 0o700);
    } catch (error) {
      if (!isCode(error, "already_exists")) throw error;
      throw new BerthError("already_exists", `${this.#what} ${id}: already exists`, {
        stage: this.#what,
        path: bundle,
      });
    }
    this.save(bundle, record);
    sys.mkdir(`${bundle}/rootfs`, 0o711);
    sys.writeFile(`${bundle}/config.json`, config);
    // runc prepares the root file system as root of the container's user namespace, which needs access.
    const group = groupOfRoot(config);
    if (group !== 0) {
      sys.lchown(bundle, 0, group);
      sys.chmod(bundle, 0o710);
    }
    sys.mkfifo(`${bundle}/log`, 0o600);
    return bundle;
  }

  save(bundle: string, record: Kept): void {
    this.#sys.replaceFile(`${bundle}/shim.json`, JSON.stringify(record));
  }

  read(bundle: string): Kept | undefined {
    const text = this.#sys.readTextIfAny(`${bundle}/shim.json`);
    return text === undefined ? undefined : parseRecord<Kept>(`${bundle}/shim.json`, text);
  }

  /** Removes a bundle; unmounts the root file system if the shim did not. */
  async remove(bundle: string): Promise<void> {
    try {
      await this.#sys.umount(`${bundle}/rootfs`, linux.MNT_DETACH | linux.UMOUNT_NOFOLLOW);
      log.warn("a shim left its root file system mounted", { bundle });
    } catch (error) {
      // EINVAL: not mounted, as expected.
      const { errno } = BerthError.from(error);
      if (errno !== "EINVAL" && errno !== "ENOENT") throw error;
    }
    this.#sys.removeTree(bundle);
  }
}

/** Host gid of the container's root. */
function groupOfRoot(config: Uint8Array): number {
  const { linux: own } = JSON.parse(new TextDecoder().decode(config)) as {
    linux?: { gidMappings?: { containerID: number; hostID: number }[] };
  };
  return own?.gidMappings?.find(({ containerID }) => containerID === 0)?.hostID ?? 0;
}
