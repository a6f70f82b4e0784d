/** The lines of a container's log, which berthd keeps in PATH and, after rotation, in PATH.1, PATH.2 and so on. */
import { type FileHandle, open, stat, watch } from "node:fs/promises";
import { dirname } from "node:path";

/** Yields lines from the oldest one on, and follows the log; when `ended` aborts, reads the rest and returns. */
export async function* logLines(path: string, ended: AbortSignal): AsyncGenerator<string> {
  // Watches the folder, as files are renamed. Begun before the first read, so that later writes are noticed.
  const changes = watch(dirname(path), { signal: ended })[Symbol.asyncIterator]();
  const next = () => changes.next().catch(() => undefined);
  let change = next();
  const decoder = new TextDecoder();
  let rest = "";
  let file = await openAfter(path, undefined);
  try {
    for (;;) {
      // Checked before reading: then this read returns everything the file will ever hold.
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

/** Opens the next newer file of a log, or the oldest kept one; undefined if there is none. */
async function openAfter(path: string, file: FileHandle | undefined): Promise<FileHandle | undefined> {
  const inodeOf = async (name: string) => (await stat(name).catch(() => undefined))?.ino;
  const own = (await file?.stat())?.ino;
  for (;;) {
    let name = path;
    let inode = await inodeOf(path);
    if (inode === undefined || inode === own) return undefined;
    // During a rotation, which renames the oldest file first, one name is missing.
    for (let number = 1, missing = 0; missing < 2; number++) {
      const older = await inodeOf(`${path}.${number}`);
      if (older !== undefined && older === own) break;
      if (older === undefined) missing++;
      else [name, inode] = [`${path}.${number}`, older];
    }
    const opened = await open(name).catch(() => undefined);
    if ((await opened?.stat())?.ino === inode) return opened;
    // Renamed meanwhile: this may be the wrong one.
    await opened?.close();
  }
}
