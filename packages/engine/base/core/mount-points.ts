/** Mount points, from /proc/self/mountinfo (proc(5)). */

/** Mount points and types in the order of their making, with octal escapes in the paths decoded. */
export function mountPoints(mountinfo: string): { point: string; type: string }[] {
  return mountinfo.split("\n").flatMap((line) => {
    const [before, after] = line.split(" - ");
    const point = before?.split(" ")[4];
    const type = after?.split(" ")[0];
    if (point === undefined || type === undefined) return [];
    const text = point.replace(/\\(\d{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    return [{ point: Buffer.from(text, "latin1").toString("utf8"), type }];
  });
}
