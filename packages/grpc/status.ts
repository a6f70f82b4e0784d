/**
 * Errors on the wire: BerthError to and from gRPC status, one to one.
 *
 * A status is three headers: `grpc-status`, `grpc-message` (percent-encoded) and `grpc-status-details-bin`, a
 * google.rpc.Status whose google.rpc.ErrorInfo detail carries stage, syscall, errno, path and hint, for clients that ask for
 * it. The two messages are written by hand here: they are four fields each, and a client that starts for one call should not
 * load descriptors for them.
 */
import { BerthError, type ErrorCode, type ErrorFacts } from "@berth/base";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

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

/** The headers of a status, as they appear in trailers. */
export interface StatusHeaders {
  "grpc-status": string;
  "grpc-message"?: string;
  "grpc-status-details-bin"?: string;
}

/** The number that gRPC gives an error code. */
export function statusNumber(code: ErrorCode): number {
  return CODES[code];
}

/** The error code behind gRPC's number; "internal" for 2 (UNKNOWN) and for numbers that are not assigned. */
export function codeOfStatus(number: number): ErrorCode {
  return NAMES.get(number) ?? "internal";
}

/**
 * Header by which a client asks for details of errors; any value. Clients of Go that do not know berth's kind of detail say
 * "proto: not found" behind the message.
 */
export const DETAILS_HEADER = "berth-error-details";

/** Writes anything that was thrown as a status, with details for who asked for them. */
export function statusOf(thrown: unknown, details: boolean): StatusHeaders {
  const error = BerthError.from(thrown);
  const headers: StatusHeaders = { "grpc-status": String(CODES[error.code]) };
  const message = messageOf(error);
  headers["grpc-message"] = percentEncode(message);
  const detail = details ? detailOf(error) : undefined;
  if (detail !== undefined) headers["grpc-status-details-bin"] = encodeDetails(error, message, detail);
  return headers;
}

/** Reads a status; undefined when it says OK. */
export function errorOf(headers: Readonly<Record<string, unknown>>): BerthError | undefined {
  const number = Number(headers["grpc-status"]);
  if (number === 0) return undefined;
  const text = headers["grpc-message"];
  const details = headers["grpc-status-details-bin"];
  const facts = typeof details === "string" ? decodeDetails(details) : {};
  const message = typeof text === "string" && text !== "" ? percentDecode(text) : `gRPC status ${number}`;
  return new BerthError(codeOfStatus(number), message, facts);
}

/** Encodes text for `grpc-message`: everything but printable ASCII, and '%' itself, as %XX of its UTF-8. */
export function percentEncode(text: string): string {
  if (/^[ -$&-~]*$/.test(text)) return text;
  let out = "";
  for (const byte of Buffer.from(text, "utf8"))
    out +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  return out;
}

/** Undoes {@link percentEncode}; what is no valid encoding stays as it is. */
export function percentDecode(text: string): string {
  if (!text.includes("%")) return text;
  const bytes = Buffer.from(
    text.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    "latin1",
  );
  return bytes.toString("utf8");
}

/** The text of an error for the wire. Headers are limited to some 16 KB in common clients: it is cut long before. */
export function messageOf(error: BerthError): string {
  return error.message.length > 4096 ? `${error.message.slice(0, 4096)}...` : error.message;
}

/** A google.protobuf.Any among a status's details. */
export interface Detail {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/** What an error knows besides code and message, as a google.rpc.ErrorInfo; undefined when that is nothing. */
export function detailOf(error: BerthError): Detail | undefined {
  if (FACTS.every((name) => error[name] === undefined)) return undefined;
  const info = new BinaryWriter();
  info.tag(1, WireType.LengthDelimited).string(error.code.toUpperCase());
  info.tag(2, WireType.LengthDelimited).string(DOMAIN);
  for (const name of FACTS) {
    const value = error[name];
    if (value === undefined) continue;
    info.tag(3, WireType.LengthDelimited).fork();
    info.tag(1, WireType.LengthDelimited).string(name);
    info.tag(2, WireType.LengthDelimited).string(value.slice(0, 2048));
    info.join();
  }
  return { typeUrl: ERROR_INFO, value: info.finish() };
}

/** Undoes {@link detailOf}; details of another make, or cut short, are passed over: the message has to do. */
export function factsOf(details: Iterable<Detail>): ErrorFacts {
  const facts: Partial<Record<(typeof FACTS)[number], string>> = {};
  try {
    for (const { typeUrl, value } of details) {
      if (typeUrl !== ERROR_INFO) continue;
      for (const [field, entry] of fields(value)) {
        if (field !== 3) continue;
        const pair = new Map(fields(entry));
        const name = FACTS.find((known) => known === text(pair.get(1)));
        if (name !== undefined) facts[name] = text(pair.get(2));
      }
    }
  } catch {
    // As said above.
  }
  return facts;
}

function encodeDetails(error: BerthError, message: string, detail: Detail): string {
  const status = new BinaryWriter();
  status.tag(1, WireType.Varint).int32(CODES[error.code]);
  status.tag(2, WireType.LengthDelimited).string(message);
  status.tag(3, WireType.LengthDelimited).fork();
  status.tag(1, WireType.LengthDelimited).string(detail.typeUrl);
  status.tag(2, WireType.LengthDelimited).bytes(detail.value);
  status.join();
  return Buffer.from(status.finish()).toString("base64").replace(/=+$/, "");
}

function decodeDetails(base64: string): ErrorFacts {
  const details: Detail[] = [];
  try {
    for (const [number, detail] of fields(Buffer.from(base64, "base64"))) {
      if (number !== 3) continue;
      const any = new Map(fields(detail));
      details.push({ typeUrl: text(any.get(1)), value: any.get(2) ?? new Uint8Array() });
    }
  } catch {
    // What was whole before the break counts.
  }
  return factsOf(details);
}

const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString("utf8");

/** Yields [field number, bytes] of the length-delimited fields of a message. */
function* fields(bytes: Uint8Array): Generator<[number, Uint8Array]> {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (type === WireType.LengthDelimited) yield [number, reader.bytes()];
    else reader.skip(type, number);
  }
}
