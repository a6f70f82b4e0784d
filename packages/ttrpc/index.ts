/** The door of `packages/ttrpc`: `serve` and `connect`. */
export type { CallOptions, Client } from "@berth/grpc/client";
export { type CallContext, type Service, type ServiceImpl, service } from "@berth/grpc/service";
export { socketName } from "./address.ts";
export { type Connection, type ConnectOptions, connect } from "./client.ts";
export { MAX_PAYLOAD } from "./frames.ts";
export { type RunningServer, type ServeOptions, serve } from "./server.ts";
