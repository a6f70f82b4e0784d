/** Metrics over TCP, for a Prometheus on this machine. */
import type { Server } from "node:http";
import { BerthError } from "@berth/base";
import { CONTENT_TYPE } from "./exposition.ts";

/** Parses "127.0.0.1:9000" or "[::1]:9000"; undefined for anything else, in particular addresses others can reach. */
export function loopbackAddress(text: string): { host: string; port: number } | undefined {
  const match = /^(?:(127\.\d{1,3}\.\d{1,3}\.\d{1,3})|\[(::1)\]):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  return match === null || port > 65_535 ? undefined : { host: match[1] ?? match[2]!, port };
}

/** Serves `text` at GET /metrics; returns the function that stops it. */
export async function serveMetrics(
  address: string,
  text: () => Promise<string>,
): Promise<() => Promise<void>> {
  const where = loopbackAddress(address);
  if (where === undefined)
    throw new BerthError(
      "invalid_argument",
      `metrics.address is ${JSON.stringify(address)}, expected 127.0.0.1:PORT or [::1]:PORT`,
    );
  const server: Server = process.getBuiltinModule("node:http").createServer((request, response) => {
    const found = request.method === "GET" && (request.url ?? "").split("?")[0] === "/metrics";
    const answer = (status: number, type: string, body: string) => {
      response.writeHead(status, { "content-type": type });
      response.end(body);
    };
    if (!found) return answer(404, "text/plain", "only GET /metrics is here\n");
    text().then(
      (body) => answer(200, CONTENT_TYPE, body),
      (error) => answer(500, "text/plain", `${(error as Error).message}\n`),
    );
  });
  server.maxConnections = 16;
  server.headersTimeout = 10_000;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(
        new BerthError(BerthError.from(cause).code, `cannot serve metrics on ${address}: ${cause.message}`, {
          stage: "listen",
          cause,
          hint: "choose another metrics.address",
        }),
      ),
    );
    server.listen(where, resolve);
  });
  return () =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
}
