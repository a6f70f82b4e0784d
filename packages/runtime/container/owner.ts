/** Who runs berth, and by whose help it maps users. */
import type { Sys } from "@berth/sys";
import type { Owner } from "../plan/namespaces.ts";

const FOLDERS = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin"];
/** uid_map of the first user namespace: everybody is who they are. */
const EVERYBODY = /^\s*0\s+0\s+4294967295\s*$/;

function find(sys: Sys, name: string): string | undefined {
  return FOLDERS.map((folder) => `${folder}/${name}`).find((path) => sys.stat(path)?.kind === "file");
}

/** The caller; the helpers are looked for only when it is not root, who needs none. */
export function ownerOf(sys: Sys): Owner {
  const uid = sys.uid();
  const confined = uid !== 0 || !EVERYBODY.test(sys.readTextIfAny("/proc/self/uid_map") ?? "0 0 4294967295");
  const setgroupsDenied = confined && sys.readTextIfAny("/proc/self/setgroups")?.trim() === "deny";
  if (uid === 0) return { uid, gid: 0, confined, setgroupsDenied, helpers: undefined };
  const [users, groups] = [find(sys, "newuidmap"), find(sys, "newgidmap")];
  return {
    uid,
    gid: sys.gid(),
    confined,
    setgroupsDenied,
    helpers: users === undefined || groups === undefined ? undefined : { uid: users, gid: groups },
  };
}

/** Folder of the containers' records when none is given: a user's own where it is not root. */
export function defaultRoot(sys: Sys): string {
  const own = sys.uid() === 0 ? undefined : sys.env("XDG_RUNTIME_DIR");
  return own ? `${own}/berth-runc` : "/run/berth-runc";
}
