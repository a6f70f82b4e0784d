/** Converts a failed operation to an error with stage, system call, errno, path, probable cause and next step. */
import { BerthError, codeOfErrno, present } from "@berth/base";
import { linux } from "@berth/sys";
import { type Operation, type Plan, SECTIONS, type SectionName } from "../plan/operations.ts";
import { diagnoseExecutable } from "./executable.ts";
import { CLONE_HINTS, hintFor } from "./hints.ts";
import {
  agentFailure,
  hookFailure,
  linkFailure,
  lockedFailure,
  lookupFailure,
  pathOf,
} from "./operation-failures.ts";
import type { InitRecord } from "./records.ts";

const ERRNO_WORDS: Readonly<Record<string, string>> = {
  EPERM: "operation not permitted",
  EINVAL: "invalid argument",
};

function decodeDetail(detail: Uint8Array): string {
  return new TextDecoder()
    .decode(detail)
    .replace(/\0[\s\S]*$/, "")
    .trim();
}

function parenthesized(detail: string): string {
  return detail === "" ? "" : ` (${detail})`;
}

/** Looks up an operation by its section and index. */
export type OperationFinder = (section: SectionName, index: number) => Operation | undefined;

/** Looks up operations in a plan. */
export function inPlan(plan: Plan): OperationFinder {
  return (section, index) => plan.sections[section][index];
}

/** Converts a "failed" or "warning" record to an error. */
export function failureOf(record: InitRecord, find: OperationFinder): BerthError {
  const errno = linux.errnoName(record.b);
  const section = SECTIONS[record.a >>> 16];
  const op = section === undefined ? undefined : find(section, record.a & 0xffff);
  if (op === undefined) {
    const step = section === "setup" ? "cloning the container's process" : "starting berth-init";
    return new BerthError(codeOfErrno(errno), `${step}: ${errno}`, {
      stage: "launch",
      syscall: "clone",
      errno,
      hint: CLONE_HINTS[errno] ?? "look at limits on processes and memory (ulimit -u, pids.max)",
    });
  }
  if (op.name === "lookup") return lookupFailure(op, errno);
  if (op.name === "exec") return diagnoseExecutable(op, errno, record.detail);
  if (op.name === "hook") return hookFailure(op, errno, decodeDetail(record.detail));
  if (op.name === "target" && errno === "ELOOP") return linkFailure(op);
  if (op.name === "mount_flags") return lockedFailure(op, errno);
  if (op.name === "send_listener") return agentFailure(op, errno);
  if (op.name === "ambient")
    return new BerthError("permission_denied", `can't ${op.words}: ${ERRNO_WORDS[errno] ?? errno}`, {
      stage: op.stage,
      syscall: op.name,
      errno,
    });
  return new BerthError(
    codeOfErrno(errno),
    `${op.stage}: cannot ${op.words}: ${op.name}: ${errno}${parenthesized(decodeDetail(record.detail))}`,
    {
      stage: op.stage,
      syscall: op.name,
      errno,
      ...present({ path: pathOf(op), hint: hintFor(op.name, errno) }),
    },
  );
}
