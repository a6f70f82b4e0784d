/**
 * Errors on the wire: BerthError to and from google.rpc.Status, one to one. gRPC carries a status in three headers,
 * ttrpc in a message. Stage, syscall, errno, path and hint travel as a google.rpc.ErrorInfo among its details, for
 * clients that ask for it. The messages are written by field number: a client that makes a single call should not
 * load descriptors for them.
 */
import type { BerthError, ErrorCode, ErrorFacts } from "@berth/base";
import { MessageReader, MessageWriter } from "@berth/protobuf";

const CODES: Readonly<Record<ErrorCode, number>> = {
  canceled: 1,
  invalid_argument: 3,
  deadline_exceeded: 4,
  not_found: 5,
  already_exists: 6,
  permission_denied: 7,
  resource_exhausted: 8,
  failed_precondition: 9,
  aborted: 10,
  out_of_range: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  data_loss: 15,
  unauthenticated: 16,
};
const NAMES = new Map(Object.entries(CODES).map(([name, number]) => [number, name as ErrorCode]));
const FACTS = ["stage", "syscall", "errno", "path", "hint"] as const;
const DOMAIN = "berth";
const ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo";

/** gRPC's number for an error code. */
export function statusNumber(code: ErrorCode): number {
  return CODES[code];
}

/** The error code for gRPC's number; "internal" for 2 (UNKNOWN) and for unassigned numbers. */
export function codeOfStatus(number: number): ErrorCode {
  return NAMES.get(number) ?? "internal";
}

/**
 * Header with which a client asks for error details; any value. Go clients that do not know berth's detail type
 * append "proto: not found" to the message.
 */
export const DETAILS_HEADER = "berth-error-details";

/** The error's message for the wire. Common clients limit headers to some 16 KB; it is cut well below that. */
export function messageOf(error: BerthError): string {
  return error.message.length > 4096 ? `${error.message.slice(0, 4096)}...` : error.message;
}

/** A google.protobuf.Any among a status's details. */
export interface Detail {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/** An error's facts besides code and message, as a google.rpc.ErrorInfo; undefined when there are none. */
export function detailOf(error: BerthError): Detail | undefined {
  if (FACTS.every((name) => error[name] === undefined)) return undefined;
  const info = new MessageWriter().text(1, error.code.toUpperCase()).text(2, DOMAIN);
  for (const name of FACTS) {
    const value = error[name];
    if (value !== undefined) info.message(3, new MessageWriter().text(1, name).text(2, value.slice(0, 2048)));
  }
  return { typeUrl: ERROR_INFO, value: info.finish() };
}

/** Undoes {@link detailOf}. Details of other types and truncated ones are skipped: the message has to do. */
export function factsOf(details: Iterable<Detail>): ErrorFacts {
  const facts: Partial<Record<(typeof FACTS)[number], string>> = {};
  try {
    for (const { typeUrl, value } of details) {
      if (typeUrl !== ERROR_INFO) continue;
      for (const entry of new MessageReader(value).messages(3)) {
        const name = FACTS.find((known) => known === entry.text(1));
        if (name !== undefined) facts[name] = entry.text(2) ?? "";
      }
    }
  } catch {
    // The rest is truncated; what was decoded so far still helps.
  }
  return facts;
}

/** An error as a google.rpc.Status. */
export function encodeStatus(error: BerthError, detail: Detail): Uint8Array {
  return new MessageWriter()
    .number(1, CODES[error.code])
    .text(2, messageOf(error))
    .message(3, new MessageWriter().text(1, detail.typeUrl).bytes(2, detail.value))
    .finish();
}

/** The facts in a google.rpc.Status; empty if the bytes are not one. */
export function factsOfStatus(bytes: Uint8Array): ErrorFacts {
  try {
    const details = new MessageReader(bytes).messages(3);
    return factsOf(
      details.map((any) => ({ typeUrl: any.text(1) ?? "", value: any.bytes(2) ?? new Uint8Array() })),
    );
  } catch {
    return {};
  }
}
