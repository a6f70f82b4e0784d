/** Where the daemon listens. */
import { BerthError } from "@berth/base";

/** Where berthd listens by default. */
export const DEFAULT_ADDRESS = "unix:///run/berth/berth.sock";

/** The path in an address; "invalid_argument" for what is not a unix socket's. */
export function socketPath(address: string): string {
  const path = address.startsWith("unix://") ? address.slice("unix://".length) : address;
  if (path.startsWith("/")) return path;
  throw new BerthError(
    "invalid_argument",
    `address: found ${JSON.stringify(address)}, expected unix:///absolute/path.sock`,
  );
}
