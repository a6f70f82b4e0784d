/**
 * The folders of activations, `mounts/NUMBER` below the state directory: INDEX is a mount point, or a link to a loop
 * device; INDEX.loop then names the file that the device shows.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import { BerthError, log } from "@berth/base";
import { linux } from "@berth/sys";
import { makeFolder } from "../../base/core/folder.ts";
import { mountPoints } from "../../base/core/mount-points.ts";

const RETRY_MS = 50;
const ATTEMPTS = 20;

/** Folders by number. */
export class ActivationFolders {
  readonly root: string;
  /** Those that could not be unmounted yet. */
  readonly #left = new Set<number>();
  readonly #clearing = new Set<Promise<void>>();

  constructor(root: string) {
    this.root = root;
  }

  path(number: number, ...rest: string[]): string {
    return join(this.root, String(number), ...rest);
  }

  /** Makes the folder of a new activation; one of that number is a leftover. */
  async make(number: number): Promise<void> {
    makeFolder(this.root, "the folder of mounts", 0o700);
    await this.clear(number);
    fs.mkdirSync(this.path(number), { mode: 0o700 });
  }

  /** Attaches a loop device and links to it. It stays until the folder is cleared, also without this process. */
  async attach(number: number, index: number, file: string, readonly: boolean): Promise<string> {
    const device = await linux.attachLoop(file, readonly);
    try {
      // The name of the file first: what clears the folder must not detach another's device.
      const name = linux.backingFileOf(device.path) ?? "";
      fs.writeFileSync(this.path(number, `${index}.loop`), name, { mode: 0o600 });
      fs.symlinkSync(device.path, this.path(number, String(index)));
      // It stays only once it can be found again.
      linux.keepLoop(device);
    } finally {
      linux.close(device.fd);
    }
    return device.path;
  }

  /** Numbers of all folders. */
  numbers(): number[] {
    const names = fs.existsSync(this.root) ? fs.readdirSync(this.root) : [];
    return names.filter((name) => /^\d+$/.test(name)).map(Number);
  }

  /** Whether all of an activation's mount points are there: a reboot leaves none. */
  intact(points: readonly string[]): boolean {
    const mounted = mountPoints(fs.readFileSync("/proc/self/mountinfo", "utf8"));
    return points.every((point) => {
      const device = linkedDevice(point);
      if (device !== undefined) return shows(device, point);
      return mounted.some((each) => each.point === point || each.point.startsWith(`${point}/`));
    });
  }

  /** Clears folders in the background; {@link settled} waits for it. */
  retire(number: number): void {
    const clearing = this.clear(number)
      .catch((error: unknown) => {
        this.#left.add(number);
        log.warn("mounts could not be undone; it is tried again later", {
          folder: this.path(number),
          error: BerthError.from(error).message,
        });
      })
      .finally(() => this.#clearing.delete(clearing));
    this.#clearing.add(clearing);
  }

  /** Waits for what is being cleared, and tries again what could not be. */
  async settled(): Promise<void> {
    for (const number of this.#left) {
      this.#left.delete(number);
      this.retire(number);
    }
    await Promise.all(this.#clearing);
  }

  /** Unmounts all below a folder, the latest first, detaches its loop devices, and removes it. */
  async clear(number: number): Promise<void> {
    const folder = this.path(number);
    if (!fs.existsSync(folder)) return;
    const mounted = mountPoints(fs.readFileSync("/proc/self/mountinfo", "utf8"));
    for (const { point } of mounted.reverse()) if (point.startsWith(`${folder}/`)) await unmount(point);
    for (const name of fs.readdirSync(folder)) {
      const point = join(folder, name);
      const device = linkedDevice(point);
      if (device !== undefined && shows(device, point)) linux.detachLoop(device);
    }
    removeOwn(folder);
  }
}

/** A mount may be busy for a moment, while somebody looks at it. */
async function unmount(point: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await linux.umount(point, linux.UMOUNT_NOFOLLOW);
    } catch (error) {
      if (BerthError.from(error).errno !== "EBUSY" || attempt === ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

/** The loop device that a mount point is a link to. */
function linkedDevice(point: string): string | undefined {
  if (!fs.lstatSync(point, { throwIfNoEntry: false })?.isSymbolicLink()) return undefined;
  const device = fs.readlinkSync(point);
  return /^\/dev\/loop\d+$/.test(device) ? device : undefined;
}

/** Whether a device still shows the file that it was attached for. */
function shows(device: string, point: string): boolean {
  const file = `${point}.loop`;
  return fs.existsSync(file) && linux.backingFileOf(device) === fs.readFileSync(file, "utf8");
}

/** Removes folders and the daemon's own files: nothing of a file system that is still mounted. */
function removeOwn(folder: string): void {
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) removeOwn(path);
    else if (entry.isSymbolicLink() || entry.name.endsWith(".loop")) fs.unlinkSync(path);
  }
  fs.rmdirSync(folder);
}
