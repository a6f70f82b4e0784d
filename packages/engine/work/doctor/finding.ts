/** What the doctor finds, and where it looks. */
import { tmpdir } from "node:os";
import type { Sys } from "@berth/sys";
import type { EventHistory } from "../../base/events/history.ts";
import type { Database } from "../../base/store/database.ts";

/** Something that is left over, and how it goes. */
export interface Leak {
  /** "mount", "cgroup", "keeper", ... */
  kind: string;
  /** Path, or "process 123". With the kind, it names the leak. */
  where: string;
  why: string;
  /** In words, as an imperative. */
  fix: string;
  /** Does it; undefined where somebody has to look first. */
  apply?: () => Promise<void> | void;
}

/** A fact about the host. */
export interface Check {
  name: string;
  /** "ok"; "note" for what is missing and not needed by all; "problem" for what has to be put right. */
  level: "ok" | "note" | "problem";
  found: string;
  /** What to do; "" when all is well. */
  fix: string;
}

/** Folders in which clients make FIFOs unless the request names others. */
export const TEMPORARY = [...new Set(["/tmp", tmpdir()])];

/** A daemon's directories and records, whether it runs or not. */
export interface Place {
  sys: Sys;
  db: Database;
  history: EventHistory;
  root: string;
  state: string;
  /** Folders in which clients make their FIFOs. */
  temporary: readonly string[];
  /** Ends and forgets a task that the running daemon knows; undefined when there is no daemon. */
  removeTask?: (ns: string, id: string) => Promise<void>;
}
