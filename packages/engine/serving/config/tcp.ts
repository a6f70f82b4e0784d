/** The API on TCP: only with TLS on both sides, as whoever reaches it is root on this machine. */
import { BerthError, present } from "@berth/base";
import type { TcpOptions } from "@berth/grpc";
import { readTextFile } from "../../base/core/text-file.ts";
import type { Config } from "./config.ts";

/** Parses "HOST:PORT", "[::1]:PORT"; undefined for anything else. */
export function tcpAddress(text: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  return match === null || port > 65_535 ? undefined : { host: match[1] ?? match[2]!, port };
}

/** What the settings say; undefined if TCP is not asked for. */
export function tcpOptions(config: Config): TcpOptions | undefined {
  const address = tcpAddress(config["tcp.address"]);
  if (address === undefined) return undefined;
  const read = (name: "tcp.ca" | "tcp.cert" | "tcp.key") => {
    const path = config[name];
    if (path === undefined)
      throw new BerthError(
        "invalid_argument",
        `${name} is missing: on TCP, berthd and its clients have to show certificates`,
        { stage: "config" },
      );
    return readTextFile(path, `${name}: cannot read`, { stage: "config" });
  };
  const commonName = config["tcp.common_name"] || undefined;
  return {
    ...address,
    ca: read("tcp.ca"),
    cert: read("tcp.cert"),
    key: read("tcp.key"),
    ...present({ commonName }),
  };
}
