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

/** Writes them into the image's folder: those it began with, as it may have others by now. */
export function saveDescriptors(sys: Sys, folder: string, record: ContainerRecord): void {
  sys.writeFile(
    `${folder}/${FILE}`,
    JSON.stringify(record.streams ?? streamLinks(sys, record.pid) ?? []),
    0o600,
  );
}

/** Pipes of the image that the caller's descriptors 0 to 2 take the place of. */
export function inheritedStreams(sys: Sys, folder: string): { key: string; fd: number }[] {
  const path = `${folder}/${FILE}`;
  const text = sys.readTextIfAny(path);
  const links = text === undefined ? [] : parseJson(text, path);
  if (!Array.isArray(links)) return [];
  return links
    .slice(0, 3)
    .flatMap((key: unknown, fd) =>
      typeof key === "string" && /^pipe:\[\d+\]$/.test(key) ? [{ key, fd }] : [],
    );
}
