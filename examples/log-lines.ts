/** The lines of a container's log, which berthd keeps in PATH and, when that became too long, in PATH.1, PATH.2 and so on. */
import { type FileHandle, open, stat, watch } from "node:fs/promises";
import { dirname } from "node:path";

/** Lines from the oldest one on, and as they come; when `ended` aborts, what is there is read and that was all. */
export async function* logLines(path: string, ended: AbortSignal): AsyncGenerator<string> {
  // The folder, as files are renamed. Begun before the first read: what is written after it is told.
  const changes = watch(dirname(path), { signal: ended })[Symbol.asyncIterator]();
  const next = () => changes.next().catch(() => undefined);
  let change = next();
  const decoder = new TextDecoder();
  let rest = "";
  let file = await openAfter(path, undefined);
  try {
    for (;;) {
      // Asked before reading: what is read then is all that there will be in this file.
      const last = ended.aborted;
      const newer = await openAfter(path, file);
      for (
        let read = await file?.read();
        read !== undefined && read.bytesRead > 0;
        read = await file?.read()
      ) {
        const text = decoder.decode(read.buffer.subarray(0, read.bytesRead), { stream: true });
        const parts = (rest + text).split("\n");
        rest = parts.pop()!;
        yield* parts;
      }
      if (newer !== undefined) {
        await file?.close();
        file = newer;
      } else if (last) return;
      else {
        await change;
        change = next();
      }
    }
  } finally {
    await file?.close();
  }
}

/** Opens the next newer file of a log, or the oldest one that is kept; undefined when there is none. */
async function openAfter(path: string, file: FileHandle | undefined): Promise<FileHandle | undefined> {
  const inodeOf = async (name: string) => (await stat(name).catch(() => undefined))?.ino;
  const own = (await file?.stat())?.ino;
  for (;;) {
    let name = path;
    let inode = await inodeOf(path);
    if (inode === undefined || inode === own) return undefined;
    // While files are renamed, the oldest first, one name is missing.
    for (let number = 1, missing = 0; missing < 2; number++) {
      const older = await inodeOf(`${path}.${number}`);
      if (older !== undefined && older === own) break;
      if (older === undefined) missing++;
      else [name, inode] = [`${path}.${number}`, older];
    }
    const opened = await open(name).catch(() => undefined);
    if ((await opened?.stat())?.ino === inode) return opened;
    // Renamed meanwhile: this may not be the one.
    await opened?.close();
  }
}
