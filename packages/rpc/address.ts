/** Addresses of unix sockets, as containerd and its shims write them. */
import { BerthError } from "@berth/base";

/** The longest path that fits into `sockaddr_un`, in bytes. */
export const MAX_SOCKET_PATH = 107;

/**
 * Converts an address to what `net.connect` and `listen` take: `unix:///path`, `/path`, or an abstract socket's name
 * after `@` or a zero byte. Shims of containerd 1.3 and before answer an unmarked name, which is abstract: `bare:
 * "abstract"` reads it that way. "invalid_argument" for everything else.
 */
export function socketName(address: string, bare: "path" | "abstract" = "path"): string {
  const unix = address.startsWith("unix://");
  const rest = unix ? address.slice("unix://".length) : address;
  const abstract = /^[@\0]/.test(rest);
  if (!unix && !abstract && address.includes("://"))
    throw new BerthError(
      "invalid_argument",
      `address ${JSON.stringify(address)}: found ${address.split("://")[0]}://, expected unix://`,
      { stage: "connect" },
    );
  const name = abstract ? `\0${rest.slice(1)}` : !unix && bare === "abstract" ? `\0${rest}` : rest;
  const path = name.startsWith("\0") ? name.slice(1) : name;
  if (path === "" || (name === path && !path.startsWith("/")) || path.includes("\0"))
    throw new BerthError(
      "invalid_argument",
      `address ${JSON.stringify(address)}: expected unix:///path, /path, or @name`,
      { stage: "connect" },
    );
  if (Buffer.byteLength(name) > MAX_SOCKET_PATH)
    throw new BerthError(
      "invalid_argument",
      `address ${address} is ${Buffer.byteLength(name)} bytes long, at most ${MAX_SOCKET_PATH} are possible`,
      { stage: "connect", path, hint: "choose a shorter path" },
    );
  return name;
}

/** A socket's name for display: abstract ones with `@`. */
export function shownName(name: string): string {
  return name.startsWith("\0") ? `@${name.slice(1)}` : name;
}
