/** A status in ttrpc's responses: a google.rpc.Status message. */
import type * as rpc from "@berth/api/rpc";
import { BerthError } from "@berth/base";
import { codeOfStatus, detailOf, factsOf, messageOf, statusNumber } from "@berth/rpc";
import type { MessageInitShape } from "@bufbuild/protobuf";

/** Converts anything that was thrown to a status, with details if the client asked for them. */
export function statusOf(thrown: unknown, details: boolean): MessageInitShape<typeof rpc.StatusSchema> {
  const error = BerthError.from(thrown);
  const detail = details ? detailOf(error) : undefined;
  return {
    code: statusNumber(error.code),
    message: messageOf(error),
    details: detail === undefined ? [] : [{ typeUrl: detail.typeUrl, value: Uint8Array.from(detail.value) }],
  };
}

/** Reads a status; undefined if there is none or it is OK. */
export function errorOf(status: rpc.Status | undefined): BerthError | undefined {
  if (status === undefined || status.code === 0) return undefined;
  return new BerthError(
    codeOfStatus(status.code),
    status.message || `ttrpc status ${status.code}`,
    factsOf(status.details),
  );
}
