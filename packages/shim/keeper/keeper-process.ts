/** A process whose parent is a keeper. */
import { TaskProcess } from "../contract/task-process.ts";
import type { ProcessRecord } from "./folders.ts";
import type { KeeperLink } from "./keeper-link.ts";

/** See the module comment. */
export class KeeperProcess extends TaskProcess<ProcessRecord> {
  link: KeeperLink | undefined;
  /** berth-init's pid while it is our child, to be reaped. */
  keeperPid = 0;
  /** Nothing more comes on standard input. */
  stdinClosed = false;
}
