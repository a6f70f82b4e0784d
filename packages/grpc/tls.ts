/** Listening on TCP, for clients that show a certificate of one CA; there is no other way in over a network. */
import type net from "node:net";
import { createServer, type PeerCertificate, type TLSSocket, type TlsOptions } from "node:tls";
import { BerthError, log } from "@berth/base";

/** Where to listen, and who may connect. */
export interface TcpOptions {
  host: string;
  /** 0: any that is free. */
  port: number;
  /** PEM: the CA of clients' certificates, and the server's certificate and key. */
  ca: string;
  cert: string;
  key: string;
  /** Name that a client's certificate has to be for (a subject alternative name, or the common name); default: any. */
  commonName?: string;
}

/** A handshake takes this long at most, in milliseconds. */
const HANDSHAKE_MS = 10_000;

/** A listener on TCP. */
export interface TcpListener {
  /** Its port. */
  port: number;
  close(): Promise<void>;
}

/** Listens; `accept` gets the connections of clients that are who they have to be. At most `max` connect at a time. */
export async function listenTcp(
  options: TcpOptions,
  max: number,
  accept: (socket: net.Socket) => void,
): Promise<TcpListener> {
  const { host, port, ca, cert, key, commonName } = options;
  const settings: TlsOptions = {
    ca,
    cert,
    key,
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
    handshakeTimeout: HANDSHAKE_MS,
    ALPNProtocols: ["h2", "http/1.1"],
  };
  const server = createServer(settings, (socket: TLSSocket) => {
    const problem = commonName === undefined ? undefined : whyNot(commonName, socket.getPeerCertificate());
    if (problem === undefined) return accept(socket);
    log.warn("a client was refused", { client: socket.remoteAddress, why: problem });
    socket.destroy();
  });
  server.maxConnections = max;
  server.on("tlsClientError", (error, socket) =>
    log.debug("a client was refused", { client: socket.remoteAddress, why: error.message }),
  );
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(
        new BerthError(BerthError.from(cause).code, `cannot listen on ${host}:${port}: ${cause.message}`, {
          stage: "listen",
          cause,
        }),
      ),
    );
    server.listen({ host, port }, resolve);
  });
  return {
    port: (server.address() as net.AddressInfo).port,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** Why a certificate is not for `name`. */
function whyNot(name: string, { subject, subjectaltname = "" }: PeerCertificate): string | undefined {
  const names = subjectaltname.split(", ").flatMap((text) => /^DNS:(.*)$/.exec(text)?.[1] ?? []);
  // As in RFC 6125: the common name counts only where there is no other name.
  if ((names.length > 0 ? names : [subject?.CN]).includes(name)) return undefined;
  return `its certificate is for ${[...names, subject?.CN].filter(Boolean).join(", ") || "nobody"}, expected ${name}`;
}
