/** The daemon's address. */
import { BerthError } from "@berth/base";

/** berthd's default address. */
export const DEFAULT_ADDRESS = "unix:///run/berth/berth.sock";

/** The path in an address; "invalid_argument" unless it is a unix socket's. */
export function socketPath(address: string): string {
  const path = address.startsWith("unix://") ? address.slice("unix://".length) : address;
  if (path.startsWith("/")) return path;
  throw new BerthError(
    "invalid_argument",
    `address: found ${JSON.stringify(address)}, expected unix:///absolute/path.sock`,
  );
}
