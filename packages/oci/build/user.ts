/** Resolves "name:group" against the text of a rootfs's /etc/passwd and /etc/group. */
import { BerthError } from "@berth/base";

/** Ids, groups and home directory of a user. */
export interface ResolvedUser {
  uid: number;
  gid: number;
  /** The primary group first, then the supplementary ones. */
  additionalGids: number[];
  /** Home directory; "/" when /etc/passwd has none. */
  home: string;
}

const MAX_ID = 2147483647;

/**
 * Resolves docker's --user ("", "user", "user:group", each a name or a number) against the contents of /etc/passwd
 * and /etc/group ("" if there is no such file). Numbers need no entry; unknown names throw "not_found". With an
 * explicit group, no supplementary groups are added, as in docker.
 */
export function resolveUser(text: string, passwd: string, group: string): ResolvedUser {
  const parts = text.split(":");
  if (parts.length > 2) throw invalid(text, 'expected "user" or "user:group"');
  const userText = parts[0] === "" ? "0" : parts[0]!;
  const groupText = parts[1] ?? "";
  const wantedUid = idOf(userText, text);
  const entry = lines(passwd, 7).find((f) =>
    wantedUid === undefined ? f[0] === userText : f[2] === `${wantedUid}`,
  );
  if (!entry && wantedUid === undefined) throw missing("user", userText, "/etc/passwd");
  const uid = wantedUid ?? Number(entry![2]);
  let gid = entry ? Number(entry[3]) : 0;
  if (groupText !== "") {
    const wantedGid = idOf(groupText, text);
    const found = wantedGid === undefined ? lines(group, 3).find((f) => f[0] === groupText) : undefined;
    if (wantedGid === undefined && !found) throw missing("group", groupText, "/etc/group");
    gid = wantedGid ?? Number(found![2]);
  }
  const more =
    groupText === "" && entry
      ? lines(group, 3)
          .filter((f) => (f[3] ?? "").split(",").includes(entry[0]!))
          .map((f) => Number(f[2]))
      : [];
  const home = entry?.[5];
  return {
    uid,
    gid,
    additionalGids: [...new Set([gid, ...more])].filter((id) => Number.isInteger(id)),
    home: home ? home : "/",
  };
}

// Fields of each well-formed line; malformed ones are skipped, as in the C library.
function lines(text: string, fields: number): string[][] {
  return text
    .split("\n")
    .map((line) => line.trim().split(":"))
    .filter(
      (parts) => parts.length >= Math.min(fields, 4) - (fields === 3 ? 1 : 0) && /^\d+$/.test(parts[2] ?? ""),
    );
}

function idOf(part: string, whole: string): number | undefined {
  if (!/^-?\d+$/.test(part)) return undefined;
  const id = Number(part);
  if (id < 0 || id > MAX_ID) throw invalid(whole, `expected ids from 0 to ${MAX_ID}`);
  return id;
}

function invalid(text: string, expected: string): BerthError {
  return new BerthError("invalid_argument", `user: found ${JSON.stringify(text)}, ${expected}`);
}

function missing(kind: string, name: string, file: string): BerthError {
  return new BerthError(
    "not_found",
    `unable to find ${kind} ${name}: no matching entries in the image's ${file}`,
    { hint: `Use a numeric id, or an image whose ${file} has "${name}".` },
  );
}
