/** The daemon's examination of its host and of leaks: berth's own service. */
import type { Connection } from "@berth/grpc/client";
import type { CallOptions } from "@berth/rpc";

/** A fact about the host. */
export interface HostCheck {
  name: string;
  /** "ok", "note" for something that only some need, "problem" for something that must be fixed. */
  level: string;
  found: string;
  /** What to do; "" when all is well. */
  fix: string;
}

/** A leaked resource. */
export interface LeakFinding {
  kind: string;
  /** A path, or "process 123". */
  where: string;
  why: string;
  /** How to remove it. */
  fix: string;
  fixed: boolean;
  /** Why its removal failed; "" otherwise. */
  error: string;
}

/** Result of an examination. */
export interface Examination {
  host: HostCheck[];
  findings: LeakFinding[];
}

/** Examines, and with `fix` removes leaks; `temporaryFolders` are where this client creates its FIFOs. */
export async function examine(
  connection: Connection,
  request: { fix: boolean; temporaryFolders: string[] },
  options?: CallOptions,
): Promise<Examination> {
  const { Doctor } = await import("@berth/api/doctor");
  const { host, findings } = await connection.client(Doctor).examine(request, options);
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
