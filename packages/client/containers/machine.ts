/** Facts of this machine that a container's spec depends on. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { CAPABILITIES, type Device } from "@berth/oci";

/**
 * Capabilities available on this machine: those of this program's bounding set. In a container or under systemd these
 * are fewer than the kernel supports, and the daemon on the same machine has the same limits.
 */
export function availableCapabilities(): string[] | undefined {
  try {
    const mask = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    if (mask === undefined) return undefined;
    const bits = BigInt(`0x${mask}`);
    return CAPABILITIES.filter((_name, number) => (bits >> BigInt(number)) & 1n);
  } catch {
    return undefined;
  }
}

/** Version of the running kernel. */
export function kernelVersion(): [number, number] | undefined {
  const match = /^(\d+)\.(\d+)/.exec(release());
  return match ? [Number(match[1]), Number(match[2])] : undefined;
}

const MODE_CHARACTER = 0o020000;
const MODE_BLOCK = 0o060000;
// Created by the runtime itself, or belonging to other namespaces.
const SKIPPED = new Set(["pts", "shm", "mqueue", "fd", ".lxc", ".lxd-mounts", ".udev", "console"]);

/** All device nodes below /dev, for privileged containers. */
export function hostDevices(folder = "/dev"): Device[] {
  const found: Device[] = [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (folder !== "/dev" || !SKIPPED.has(entry.name)) found.push(...hostDevices(path));
      continue;
    }
    if (entry.name === "console" || (!entry.isCharacterDevice() && !entry.isBlockDevice())) continue;
    try {
      const stat = statSync(path);
      const kind = stat.mode & 0o170000;
      if (kind !== MODE_CHARACTER && kind !== MODE_BLOCK) continue;
      found.push({
        path,
        type: kind === MODE_BLOCK ? "b" : "c",
        // Linux's dev_t: 12 bits of major number around 8 low bits of minor, the rest above.
        major: Math.floor(stat.rdev / 256) & 0xfff,
        minor: (stat.rdev & 0xff) | ((Math.floor(stat.rdev / 2 ** 12) & 0xffffff00) >>> 0),
        fileMode: stat.mode & 0o7777,
        uid: stat.uid,
        gid: stat.gid,
      });
    } catch {
      // The device has just gone away.
    }
  }
  return found;
}
