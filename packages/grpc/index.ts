/** The door of `packages/grpc`: `serve` and `connect`. A client-only program imports `@berth/grpc/client`. */
export {
  type CallOptions,
  type Client,
  type ClientMethod,
  type Connection,
  type ConnectOptions,
  connect,
} from "./client.ts";
export type { Encoding } from "./frames.ts";
export { type RunningServer, type ServeOptions, serve } from "./server.ts";
export { type CallContext, type MethodImpl, type Service, type ServiceImpl, service } from "./service.ts";
export { codeOfStatus, statusNumber } from "./status.ts";
