/**
 * Bundles of foreign shims, below the state folder at `shims/NAMESPACE/ID`: config.json, rootfs/, the shim's log FIFO, and
 * `shim.json`: what must be known to find the shim again, written before it is started.
 */
import { BerthError, isCode, log } from "@berth/base";
import { linux, type Sys } from "@berth/sys";
import { parseRecord } from "../contract/parse-record.ts";
import type { Stdio } from "../contract/task-shim.ts";
import type { ShimAddress } from "./binary.ts";

/** shim.json. */
export interface ForeignRecord {
  runtime: string;
  program: string;
  /** None until the shim has been started. */
  shim?: ShimAddress;
  stdio: Stdio;
  pid: number;
  started: boolean;
  /** Processes that were added. */
  execs: Record<string, { stdio: Stdio; pid: number; started: boolean }>;
}

/** Paths and files of the bundles. */
export class ForeignBundles {
  readonly #sys: Sys;
  readonly root: string;

  constructor(sys: Sys, stateDir: string) {
    this.#sys = sys;
    this.root = `${stateDir}/shims`;
  }

  path(namespace: string, id: string): string {
    return `${this.root}/${namespace}/${id}`;
  }

  /** All there are. */
  list(): { namespace: string; id: string }[] {
    const names = (folder: string) => this.#sys.list(folder) ?? [];
    return names(this.root).flatMap((namespace) =>
      names(`${this.root}/${namespace}`).map((id) => ({ namespace, id })),
    );
  }

  /** Makes a bundle; "already_exists" when there is one. */
  make(namespace: string, id: string, config: Uint8Array, record: ForeignRecord): string {
    const sys = this.#sys;
    const bundle = this.path(namespace, id);
    sys.mkdirAll(`${this.root}/${namespace}`, 0o711);
    try {
      sys.mkdir(bundle, 0o700);
    } catch (error) {
      if (!isCode(error, "already_exists")) throw error;
      throw new BerthError("already_exists", `task ${id}: already exists`, { stage: "task", path: bundle });
    }
    this.save(bundle, record);
    sys.mkdir(`${bundle}/rootfs`, 0o711);
    sys.writeFile(`${bundle}/config.json`, config);
    // runc prepares the root file system as the root of the container's user namespace, who must get there.
    const group = groupOfRoot(config);
    if (group !== 0) {
      sys.lchown(bundle, 0, group);
      sys.chmod(bundle, 0o710);
    }
    sys.mkfifo(`${bundle}/log`, 0o600);
    return bundle;
  }

  save(bundle: string, record: ForeignRecord): void {
    this.#sys.replaceFile(`${bundle}/shim.json`, JSON.stringify(record));
  }

  read(bundle: string): ForeignRecord | undefined {
    const text = this.#sys.readTextIfAny(`${bundle}/shim.json`);
    return text === undefined ? undefined : parseRecord<ForeignRecord>(`${bundle}/shim.json`, text);
  }

  /** Removes a bundle, with a root file system that its shim left mounted. */
  async remove(bundle: string): Promise<void> {
    try {
      await this.#sys.umount(`${bundle}/rootfs`, linux.MNT_DETACH | linux.UMOUNT_NOFOLLOW);
      log.warn("a shim left its root file system mounted", { bundle });
    } catch (error) {
      // EINVAL: nothing is mounted there, as it should be.
      const { errno } = BerthError.from(error);
      if (errno !== "EINVAL" && errno !== "ENOENT") throw error;
    }
    this.#sys.removeTree(bundle);
  }
}

/** The group that a container's root has on the machine. */
function groupOfRoot(config: Uint8Array): number {
  const { linux: own } = JSON.parse(new TextDecoder().decode(config)) as {
    linux?: { gidMappings?: { containerID: number; hostID: number }[] };
  };
  return own?.gidMappings?.find(({ containerID }) => containerID === 0)?.hostID ?? 0;
}
