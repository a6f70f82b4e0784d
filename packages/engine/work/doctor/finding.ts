/** The doctor's findings, and the places it examines. */
import { tmpdir } from "node:os";
import type { Sys } from "@berth/sys";
import type { EventHistory } from "../../base/events/history.ts";
import type { Database } from "../../base/store/database.ts";

/** A leaked resource, and how to remove it. */
export interface Leak {
  /** "mount", "cgroup", "keeper", ... */
  kind: string;
  /** Path, or "process 123". Unique together with the kind. */
  where: string;
  why: string;
  /** An imperative sentence. */
  fix: string;
  /** Removes it; undefined if the user has to decide. */
  apply?: () => Promise<void> | void;
}

/** A fact about the host. */
export interface Check {
  name: string;
  /** "ok"; "note" for something missing that not everyone needs; "problem" for something that must be fixed. */
  level: "ok" | "note" | "problem";
  found: string;
  /** What to do; "" if nothing. */
  fix: string;
}

/** Folders where clients create FIFOs, unless the request names others. */
export const TEMPORARY = [...new Set(["/tmp", tmpdir()])];

/** A daemon's directories and records, running or not. */
export interface Instance {
  sys: Sys;
  db: Database;
  history: EventHistory;
  root: string;
  state: string;
  /** Folders where clients create their FIFOs. */
  temporary: readonly string[];
  /** Stops and deletes a task known to the running daemon; undefined if there is no daemon. */
  removeTask?: (ns: string, id: string) => Promise<void>;
}
