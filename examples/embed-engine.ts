/**
 * The engine inside a program of one's own: a daemon on a temporary root and state directory, which goes with the program.
 *
 *     node examples/embed-engine.ts [ARCHIVE]    # as root; ARCHIVE is what `docker save` or `berth save` writes
 */
import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "@berth/client";
import { loadConfig, startDaemon } from "@berth/engine";

// Deferred actions run in reverse, however the program ends.
await using cleanup = new AsyncDisposableStack();
const folder = await mkdtemp(join(tmpdir(), "berth-embedded-"));
cleanup.defer(() => rm(folder, { recursive: true, force: true }));

// No settings file, only flags: this machine's configuration does not apply. The log goes to standard error.
const config = loadConfig(undefined, { root: join(folder, "root"), state: join(folder, "state") });
const daemon = await startDaemon(config);
cleanup.defer(() => daemon.close());

const client = connect({ address: config["grpc.address"], namespace: "example" });
cleanup.use(client);
await client.namespaces.create("example", { purpose: "demonstration" });

const [archive] = process.argv.slice(2);
if (archive !== undefined) await client.images.load(createReadStream(archive));

console.log(`berthd ${(await client.version()).version}, in process ${(await client.server()).pid}`);
for (const { name, labels } of await client.namespaces.list())
  console.log("namespace", name, JSON.stringify(labels));
for (const { name, target } of await client.images.list()) console.log("image", name, target.digest);
