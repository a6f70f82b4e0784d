/** Certificates of a CA of the test's own, made by openssl. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** Paths: `ca` is a file, the others lack ".crt" and ".key". */
export type Certificates = ReturnType<typeof authority>;

/** A CA, and certificates that it signs for a server on loopback and for a client named "client". */
export function authority(folder: string) {
  const openssl = (...args: string[]) => execFileSync("/usr/bin/openssl", args, { stdio: "pipe" });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const ca = join(folder, "ca");
  openssl("req", "-x509", ...key, "-subj", "/CN=test CA", "-keyout", `${ca}.key`, "-out", `${ca}.crt`);
  const sign = (name: string, extension: string) => {
    const path = join(folder, name);
    writeFileSync(`${path}.ext`, extension);
    openssl("req", ...key, "-subj", `/CN=${name}`, "-keyout", `${path}.key`, "-out", `${path}.csr`);
    const by = ["-CA", `${ca}.crt`, "-CAkey", `${ca}.key`, "-CAcreateserial"];
    openssl("x509", "-req", "-in", `${path}.csr`, ...by, "-extfile", `${path}.ext`, "-out", `${path}.crt`);
    return path;
  };
  return {
    ca: `${ca}.crt`,
    server: sign("server", "subjectAltName=DNS:localhost,IP:127.0.0.1\n"),
    client: sign("client", "extendedKeyUsage=clientAuth\n"),
  };
}
