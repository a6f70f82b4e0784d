/** The user that runs berth, and the helpers that map ids for it. */
import type { Sys } from "@berth/sys";
import type { Owner } from "../plan/namespaces.ts";

const HELPER_FOLDERS = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin"];
/** uid_map of the initial user namespace: the identity. */
const IDENTITY_MAP = /^\s*0\s+0\s+4294967295\s*$/;

function findHelper(sys: Sys, name: string): string | undefined {
  return HELPER_FOLDERS.map((folder) => `${folder}/${name}`).find((path) => sys.stat(path)?.kind === "file");
}

/** Describes the caller. Helpers are looked up only for callers other than root, who needs none. */
export function ownerOf(sys: Sys): Owner {
  const uid = sys.uid();
  const confined =
    uid !== 0 || !IDENTITY_MAP.test(sys.readTextIfAny("/proc/self/uid_map") ?? "0 0 4294967295");
  const setgroupsDenied = confined && sys.readTextIfAny("/proc/self/setgroups")?.trim() === "deny";
  if (uid === 0) return { uid, gid: 0, confined, setgroupsDenied, helpers: undefined };
  const [users, groups] = [findHelper(sys, "newuidmap"), findHelper(sys, "newgidmap")];
  return {
    uid,
    gid: sys.gid(),
    confined,
    setgroupsDenied,
    helpers: users === undefined || groups === undefined ? undefined : { uid: users, gid: groups },
  };
}

/** The default directory of container records: the system's for root, otherwise one of the user's own. */
export function defaultRoot(sys: Sys): string {
  const own = sys.uid() === 0 ? undefined : sys.env("XDG_RUNTIME_DIR");
  return own ? `${own}/berth-runc` : "/run/berth-runc";
}
