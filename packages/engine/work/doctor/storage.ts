/** Leaked files of the root directory: snapshots, blobs and ingests without a row, logs without a container. */
import * as fs from "node:fs";
import { isKnown } from "../../objects/content/rows.ts";
import type { Instance, Leak } from "./finding.ts";
import { hasRecord } from "./known.ts";
import { refuseMounts } from "./mounts.ts";

/** A client creates a log's folder before the container. */
const MIN_AGE_MS = 60_000;

const namesIn = (folder: string): string[] => {
  try {
    return fs.readdirSync(folder);
  } catch {
    return [];
  }
};

/** Finds files unknown to the database. */
export function storageLeaks(instance: Instance): Leak[] {
  const { root, db, sys } = instance;
  const leak = (kind: string, where: string, why: string): Leak => ({
    kind,
    where,
    why,
    fix: "remove it",
    apply: async () => {
      refuseMounts(sys, where);
      await fs.promises.rm(where, { recursive: true, force: true });
    },
  });
  const leaks: Leak[] = [];
  for (const driver of namesIn(`${root}/snapshots`)) {
    const folder = `${root}/snapshots/${driver}`;
    for (const name of namesIn(folder))
      if (name.startsWith("rm-"))
        leaks.push(leak("snapshot", `${folder}/${name}`, "its removal was not finished"));
      else if (/^\d+$/.test(name) && !db.get("SELECT 1 FROM snapshots WHERE number = ?", Number(name)))
        leaks.push(leak("snapshot", `${folder}/${name}`, "no snapshot has this number"));
  }
  for (const name of namesIn(`${root}/content/ingest`))
    if (!/^\d+$/.test(name) || !db.get("SELECT 1 FROM ingests WHERE number = ?", Number(name)))
      leaks.push(leak("ingest", `${root}/content/ingest/${name}`, "nobody writes it, and nobody can go on"));
  for (const algorithm of namesIn(`${root}/content/blobs`))
    for (const hex of namesIn(`${root}/content/blobs/${algorithm}`))
      if (!isKnown(db, `${algorithm}:${hex}`))
        leaks.push(leak("blob", `${root}/content/blobs/${algorithm}/${hex}`, "no namespace knows it"));
  for (const ns of namesIn(`${root}/logs`))
    for (const id of namesIn(`${root}/logs/${ns}`)) {
      const path = `${root}/logs/${ns}/${id}`;
      const age = Date.now() - (fs.lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
      if (age > MIN_AGE_MS && !hasRecord(instance, ns, id))
        leaks.push(leak("log", path, "its container is gone"));
    }
  return leaks;
}
