/**
 * The streams of a container's first process, beside its image in "descriptors.json" (the form is runc's): a pipe's other
 * end is outside, so a restore puts the caller's own stream in its place.
 */
import { isCode } from "@berth/base";
import { parseJson } from "@berth/oci";
import type { Sys } from "@berth/sys";
import type { ContainerRecord } from "../state/record.ts";

const FILE = "descriptors.json";

/**
 * What a process's descriptors 0 to 2 lead to: "pipe:[123]", "/dev/null". Undefined where the caller may not look: at a
 * process with more ids than an ordinary user has.
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
 * Streams that lie on no mount of the container's (a client's FIFO, a log file), as CRIU names them: it leaves them to who
 * restores. `fdinfo` tells the mount, in decimal; CRIU wants it in hexadecimal, as the inode.
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
 * Writes the streams into the image's folder: those it began with, as it may have others by now. Returns those that are
 * external to the image beside pipes.
 */
export function saveDescriptors(sys: Sys, folder: string, record: ContainerRecord): string[] {
  const outside = outsideStreams(sys, record.pid);
  const links = record.streams ?? streamLinks(sys, record.pid) ?? [];
  sys.writeFile(`${folder}/${FILE}`, JSON.stringify(links.map((link, fd) => outside[fd] || link)), 0o600);
  return outside.filter((name) => name !== "");
}

/** Notes which of them have become pipes in the image: those with these inode numbers. */
export function noteFifos(sys: Sys, folder: string, fifos: ReadonlySet<number>): void {
  if (fifos.size === 0) return;
  const path = `${folder}/${FILE}`;
  const links = parseJson(sys.readText(path), path) as string[];
  const noted = links.map((link) => {
    const ino = Number.parseInt(/^file\[[0-9a-f]+:([0-9a-f]+)\]$/.exec(link)?.[1] ?? "", 16);
    return fifos.has(ino) ? `pipe:[${ino}]` : link;
  });
  sys.writeFile(path, JSON.stringify(noted), 0o600);
}

/** Streams of the image that the caller's descriptors 0 to 2 take the place of. */
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
