/** Exit status of a process. */

/** Exit status of a process. */
export interface ExitStatus {
  /** Exit code, or 128 + signal. */
  code: number;
  exitedAt: Date | undefined;
}
