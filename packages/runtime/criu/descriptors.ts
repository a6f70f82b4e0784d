/**
 * The init process's standard streams, stored in the image directory as "descriptors.json", in runc's format. The other end
 * of a pipe is outside the container, so a restore replaces it by the caller's stream.
 */
import { isCode } from "@berth/base";
import { parseJson } from "@berth/oci";
import type { Sys } from "@berth/sys";
import type { ContainerRecord } from "../state/record.ts";

const FILE = "descriptors.json";

/**
 * Link targets of a process's descriptors 0 to 2: "pipe:[123]", "/dev/null". Undefined if the caller lacks permission to
 * read them, as an unprivileged user does for a process with mapped ids.
 */
export function streamLinks(sys: Sys, pid: number): string[] | undefined {
  try {
    return [0, 1, 2].map((fd) => sys.readlink(`/proc/${pid}/fd/${fd}`) ?? "");
  } catch (error) {
    if (isCode(error, "permission_denied")) return undefined;
    throw error;
  }
}

/**
 * CRIU's names of streams that are on none of the container's mounts (a client's FIFO, a log file), "" for others. CRIU
 * leaves such files to the restorer. `fdinfo` has the mount id in decimal, CRIU's names have it in hexadecimal.
 */
function outsideStreams(sys: Sys, pid: number): string[] {
  const mounts = new Set(
    sys
      .readText(`/proc/${pid}/mountinfo`)
      .split("\n")
      .map((line) => line.split(" ", 1)[0]),
  );
  const links = streamLinks(sys, pid) ?? [];
  return links.map((link, fd) => {
    const mount = /^mnt_id:\s*(\d+)/m.exec(sys.readTextIfAny(`/proc/${pid}/fdinfo/${fd}`) ?? "")?.[1];
    if (!link.startsWith("/") || mount === undefined || mounts.has(mount)) return "";
    const ino = sys.stat(`/proc/${pid}/fd/${fd}`)?.ino ?? 0;
    return `file[${Number(mount).toString(16)}:${ino.toString(16)}]`;
  });
}

/**
 * Writes descriptors.json: the streams that the process was started with, as it may have others by now. Returns the names
 * of external files among them.
 */
export function saveDescriptors(sys: Sys, folder: string, record: ContainerRecord): string[] {
  const outside = outsideStreams(sys, record.pid);
  const links = record.streams ?? streamLinks(sys, record.pid) ?? [];
  sys.writeFile(`${folder}/${FILE}`, JSON.stringify(links.map((link, fd) => outside[fd] || link)), 0o600);
  return outside.filter((name) => name !== "");
}

/** Updates descriptors.json for FIFOs that have become pipes in the image, given their inode numbers. */
export function noteFifos(sys: Sys, folder: string, fifos: ReadonlySet<number>): void {
  if (fifos.size === 0) return;
  const path = `${folder}/${FILE}`;
  const links = parseJson(sys.readText(path), path) as string[];
  const updated = links.map((link) => {
    const ino = Number.parseInt(/^file\[[0-9a-f]+:([0-9a-f]+)\]$/.exec(link)?.[1] ?? "", 16);
    return fifos.has(ino) ? `pipe:[${ino}]` : link;
  });
  sys.writeFile(path, JSON.stringify(updated), 0o600);
}

/** Streams of the image that the caller's descriptors 0 to 2 replace. */
export function inheritedStreams(sys: Sys, folder: string): { key: string; fd: number }[] {
  const path = `${folder}/${FILE}`;
  const text = sys.readTextIfAny(path);
  const links = text === undefined ? [] : parseJson(text, path);
  if (!Array.isArray(links)) return [];
  return links
    .slice(0, 3)
    .flatMap((key: unknown, fd) =>
      typeof key === "string" && /^(pipe:\[\d+\]|file\[[0-9a-f]+:[0-9a-f]+\])$/.test(key)
        ? [{ key, fd }]
        : [],
    );
}
