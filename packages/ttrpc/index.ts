/** The door of `packages/ttrpc`: `serve` and `connect`. A command that makes one call imports `@berth/ttrpc/once`. */
export { type Connection, type ConnectOptions, connect } from "./client.ts";
export { MAX_PAYLOAD } from "./frames.ts";
export { type RunningServer, type ServeOptions, serve } from "./server.ts";
