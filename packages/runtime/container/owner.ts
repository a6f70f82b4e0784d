/** Who runs berth, and by whose help it maps users. */
import type { Sys } from "@berth/sys";
import type { Owner } from "../plan/namespaces.ts";

const FOLDERS = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin"];

function find(sys: Sys, name: string): string | undefined {
  return FOLDERS.map((folder) => `${folder}/${name}`).find((path) => sys.stat(path)?.kind === "file");
}

/** The caller; the helpers are looked for only when it is not root, who needs none. */
export function ownerOf(sys: Sys): Owner {
  const uid = sys.uid();
  if (uid === 0) return { uid, gid: 0, helpers: undefined };
  const [users, groups] = [find(sys, "newuidmap"), find(sys, "newgidmap")];
  return {
    uid,
    gid: sys.gid(),
    helpers: users === undefined || groups === undefined ? undefined : { uid: users, gid: groups },
  };
}
