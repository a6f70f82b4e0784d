/** The daemon's examination of its host and of what is left over: berth's own service. */
import type { Connection } from "@berth/grpc/client";
import type { CallOptions } from "@berth/rpc";

/** A fact about the host. */
export interface HostCheck {
  name: string;
  /** "ok", "note" for what only some need, "problem" for what has to be put right. */
  level: string;
  found: string;
  /** What to do; "" when all is well. */
  fix: string;
}

/** Something that is left over. */
export interface LeakFinding {
  kind: string;
  /** A path, or "process 123". */
  where: string;
  why: string;
  /** What removes it, in words. */
  fix: string;
  fixed: boolean;
  /** Why it could not be removed; "" otherwise. */
  error: string;
}

/** What an examination found. */
export interface Examination {
  host: HostCheck[];
  findings: LeakFinding[];
}

/** Examines, and with `fix` removes what is left over; `temporaryFolders` are where this client makes its FIFOs. */
export async function examine(
  connection: Connection,
  wishes: { fix: boolean; temporaryFolders: string[] },
  options?: CallOptions,
): Promise<Examination> {
  const { Doctor } = await import("@berth/api/doctor");
  const { host, findings } = await connection.client(Doctor).examine(wishes, options);
  return {
    host: host.map(({ name, level, found, fix }) => ({ name, level, found, fix })),
    findings: findings.map(({ kind, where, why, fix, fixed, error }) => ({
      kind,
      where,
      why,
      fix,
      fixed,
      error,
    })),
  };
}
