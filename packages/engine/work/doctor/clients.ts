/** Leaks of killed clients and daemons: FIFOs of streams, and a stale socket. */
import * as fs from "node:fs";
import type { Instance, Leak } from "./finding.ts";
import { allPids, boundSockets, descriptors } from "./processes.ts";

const FOLDER = /^berth-io-\w+$/;
const FIFOS = new Set(["stdin", "stdout", "stderr"]);

/** FIFOs that no process has open, and sockets without a listener. */
export function clientLeaks(instance: Instance): Leak[] {
  const { sys, temporary, state } = instance;
  const folders = [...new Set(temporary)].flatMap((folder) =>
    (sys.list(folder) ?? []).filter((name) => FOLDER.test(name)).map((name) => `${folder}/${name}`),
  );
  const open = new Set(
    folders.length === 0
      ? []
      : allPids(sys).flatMap((pid) =>
          descriptors(sys, pid).map((target) => target.slice(0, target.lastIndexOf("/"))),
        ),
  );
  const bound = new Set(boundSockets(sys).values());
  const sockets = (sys.list(state) ?? []).map((name) => `${state}/${name}`);
  return [
    ...folders
      .filter((folder) => !open.has(fs.realpathSync.native(folder)) && isOurs(folder))
      .map(
        (folder): Leak => ({
          kind: "client's streams",
          where: folder,
          why: "a client made them for a container, and nobody has them open any more",
          fix: "remove the FIFOs and their folder",
          apply: () => removeFifos(folder),
        }),
      ),
    ...sockets
      .filter((path) => sys.lstat(path)?.kind === "socket" && !bound.has(path))
      .map(
        (path): Leak => ({
          kind: "socket",
          where: path,
          why: "nobody listens on it",
          fix: "remove it",
          apply: () => void sys.unlink(path),
        }),
      ),
  ];
}

/** Whether it is this user's folder and contains nothing but FIFOs. */
function isOurs(folder: string): boolean {
  const found = fs.lstatSync(folder, { throwIfNoEntry: false });
  if (!found?.isDirectory() || found.uid !== process.getuid?.()) return false;
  return fs.readdirSync(folder).every((name) => FIFOS.has(name));
}

/** By descriptor: other users may write to its parent folder. */
function removeFifos(folder: string): void {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = fs.constants;
  const fd = fs.openSync(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    if (fs.fstatSync(fd).uid !== process.getuid?.()) return;
    for (const name of FIFOS) {
      const path = `/proc/self/fd/${fd}/${name}`;
      if (fs.lstatSync(path, { throwIfNoEntry: false })?.isFIFO()) fs.unlinkSync(path);
    }
  } finally {
    fs.closeSync(fd);
  }
  fs.rmdirSync(folder);
}
