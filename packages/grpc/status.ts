/** A status in gRPC's headers: `grpc-status`, `grpc-message` (percent-encoded), `grpc-status-details-bin` (google.rpc.Status). */
import { BerthError } from "@berth/base";
import { codeOfStatus, detailOf, encodeStatus, factsOfStatus, messageOf, statusNumber } from "@berth/rpc";

/** The headers of a status, as they appear in trailers. */
export interface StatusHeaders {
  "grpc-status": string;
  "grpc-message"?: string;
  "grpc-status-details-bin"?: string;
}

/** Converts anything that was thrown to a status, with details if the client asked for them. */
export function statusOf(thrown: unknown, details: boolean): StatusHeaders {
  const error = BerthError.from(thrown);
  const headers: StatusHeaders = { "grpc-status": String(statusNumber(error.code)) };
  const message = messageOf(error);
  headers["grpc-message"] = percentEncode(message);
  const detail = details ? detailOf(error) : undefined;
  if (detail !== undefined)
    headers["grpc-status-details-bin"] = Buffer.from(encodeStatus(error, detail))
      .toString("base64")
      .replace(/=+$/, "");
  return headers;
}

/** Reads a status; undefined if it is OK. */
export function errorOf(headers: Readonly<Record<string, unknown>>): BerthError | undefined {
  const number = Number(headers["grpc-status"]);
  if (number === 0) return undefined;
  const text = headers["grpc-message"];
  const details = headers["grpc-status-details-bin"];
  const facts = typeof details === "string" ? factsOfStatus(Buffer.from(details, "base64")) : {};
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

/** Undoes {@link percentEncode}; invalid encodings are returned unchanged. */
export function percentDecode(text: string): string {
  if (!text.includes("%")) return text;
  const bytes = Buffer.from(
    text.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    "latin1",
  );
  return bytes.toString("utf8");
}
