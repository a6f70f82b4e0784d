/** The door of `packages/grpc`: `serve` and `connect`. A client-only program imports `@berth/grpc/client`. */
export type { CallObserver } from "./answer.ts";
export { type Connection, type ConnectOptions, connect } from "./client.ts";
export type { Encoding } from "./frames.ts";
export { type RunningServer, type ServeOptions, serve } from "./server.ts";
export type { TcpOptions } from "./tls.ts";
