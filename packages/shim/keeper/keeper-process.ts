/** A process whose parent is a keeper. */
import { TaskProcess } from "../contract/task-process.ts";
import type { ProcessRecord } from "./folders.ts";
import type { KeeperLink } from "./keeper-link.ts";

/** See the module comment. */
export class KeeperProcess extends TaskProcess<ProcessRecord> {
  link: KeeperLink | undefined;
  /** berth-init's pid if it is our child, for reaping. */
  keeperPid = 0;
  /** The client has closed stdin. */
  stdinClosed = false;
}
