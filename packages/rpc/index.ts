/** The door of `packages/rpc`: services, calls and statuses, independent of the wire. */

export { MAX_TIMER_MS, onAbandoned } from "./abandon.ts";
export { MAX_SOCKET_PATH, shownName, socketName } from "./address.ts";
export { Call, refusalOf } from "./call.ts";
export {
  type CallOptions,
  type Client,
  ClientBinding,
  type ClientMethod,
  type OpenCall,
} from "./client-binding.ts";
export { type DialHints, dial } from "./dial.ts";
export { answerMessage, EncodedMessage, encodeAnswer } from "./encoded.ts";
export { MessageQueue, type MessageSource } from "./message-queue.ts";
export { type Metadata, metadataOf } from "./metadata.ts";
export {
  type CallContext,
  type MethodImpl,
  type Route,
  type Service,
  type ServiceImpl,
  service,
} from "./service.ts";
export {
  codeOfStatus,
  DETAILS_HEADER,
  type Detail,
  detailOf,
  encodeStatus,
  factsOf,
  factsOfStatus,
  messageOf,
  statusNumber,
} from "./status.ts";
