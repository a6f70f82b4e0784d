/** One daemon per directory: a lock that the kernel drops when the process ends, for whatever reason. */
import * as fs from "node:fs";
import { join } from "node:path";
import { BerthError } from "@berth/base";
import { linux } from "@berth/sys";

/** Locks a directory for this process; "failed_precondition" names the current holder. */
export function lockDirectory(folder: string, what: string): () => void {
  const path = join(folder, "berthd.lock");
  const fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
  if (!linux.tryLock(fd)) {
    const pid = fs.readFileSync(path, "utf8").trim();
    fs.closeSync(fd);
    throw new BerthError(
      "failed_precondition",
      `another berthd${pid === "" ? "" : ` (pid ${pid})`} is using the ${what} directory ${folder}`,
      { stage: "lock", path, hint: "stop it first, or choose another directory" },
    );
  }
  writePid(fd);
  return () => fs.closeSync(fd);
}

/** Overwrites the previous holder's pid in place: truncating first would need space again on a full disk. */
function writePid(fd: number): void {
  const text = `${process.pid}\n`;
  try {
    fs.writeSync(fd, text, 0);
    fs.ftruncateSync(fd, text.length);
  } catch (error) {
    // The lock itself is what counts.
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
  }
}
