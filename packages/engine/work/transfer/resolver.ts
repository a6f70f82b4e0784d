/** Opens repositories for the registries in Transfer requests. */
import { pack, transferTypes, unpack } from "@berth/api";
import { BerthError } from "@berth/base";
import { parseReference } from "@berth/oci";
import type { AskCredentials } from "../registry/auth.ts";
import { hostsOf } from "../registry/hosts.ts";
import { Repository } from "../registry/repository.ts";
import type { TransferJob } from "./parts.ts";

/** Opens the repository of `registry`, at the hosts that its folder names. */
export async function openRepository(
  job: TransferJob,
  registry: transferTypes.OCIRegistry,
): Promise<Repository> {
  const reference = parseReference(registry.reference);
  const { resolver } = registry;
  const { hostFolders, insecureRegistries } = job.parts;
  const scheme = resolver?.defaultScheme ?? "";
  if (!["", "http", "https"].includes(scheme))
    throw new BerthError(
      "invalid_argument",
      `resolver.default_scheme: found ${JSON.stringify(scheme)}, expected http or https: invalid argument`,
    );
  const hosts = await hostsOf(resolver?.hostDir ? [resolver.hostDir] : hostFolders, reference.host, {
    plainHttp: scheme === "http" || insecureRegistries.includes(reference.host),
    tls: scheme === "https",
  });
  return new Repository({
    reference,
    hosts,
    ask: askOver(job, registry),
    headers: resolver?.headers ?? {},
    signal: job.signal,
  });
}

/** Asks the client for credentials over its stream; none without a stream. */
function askOver(job: TransferJob, registry: transferTypes.OCIRegistry): AskCredentials {
  const id = registry.resolver?.authStream;
  if (!id) return async () => undefined;
  return async (host, wwwauthenticate) => {
    const stream = job.parts.streams.get(job.scope.namespace, id);
    stream.send(
      pack(transferTypes.AuthRequestSchema, {
        host,
        reference: registry.reference,
        wwwauthenticate: [...wwwauthenticate],
      }),
    );
    const answer = unpack(transferTypes.AuthResponseSchema, await stream.receive());
    switch (answer?.authType) {
      case transferTypes.AuthType.CREDENTIALS:
        return { kind: "password", username: answer.username, secret: answer.secret };
      case transferTypes.AuthType.REFRESH:
        return { kind: "refresh", secret: answer.secret };
      case transferTypes.AuthType.HEADER:
        return { kind: "header", value: answer.secret };
      default:
        return undefined;
    }
  };
}
