/** Traces sent to a collector that the environment names. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import test from "node:test";
import { connect } from "@berth/client";
import { answers, berthdArgs, cannotRun, Folder, freePort, start } from "../support/daemons.ts";
import { until } from "../support/until.ts";

const skip = cannotRun();

test("operations are sent by OTLP, their stages as spans", { skip }, async (t) => {
  const received: { path: string; type: string | undefined; body: string }[] = [];
  const collector = createServer(async (request, response) => {
    const body = (await buffer(request)).toString("latin1");
    received.push({ path: request.url!, type: request.headers["content-type"], body });
    response.writeHead(200).end();
  }).listen(0, "127.0.0.1");
  await once(collector, "listening");
  const folder = new Folder();
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(collector.address() as AddressInfo).port}`,
    OTEL_BSP_SCHEDULE_DELAY: "100",
    OTEL_SERVICE_NAME: "tested",
  };
  const socket = join(folder.path, "run/berth.sock");
  const daemon = await start(process.execPath, berthdArgs(folder.path), answers(socket), env);
  const client = connect({ address: socket });
  t.after(async () => {
    client.close();
    await daemon.stop();
    collector.closeAllConnections();
    collector.close();
    await folder.remove();
  });
  await client.snapshots.prepare("traced-key", "");
  await client.garbage.collect();
  await until("the trace arrives", () => received.some(({ body }) => body.includes("traced-key")));
  const { path, type } = received[0]!;
  assert.deepEqual([path, type], ["/v1/traces", "application/x-protobuf"]);
  const all = received.map(({ body }) => body).join("");
  for (const text of ["tested", "snapshots.Prepare", "collect garbage", "berth.container"])
    assert.ok(all.includes(text), text);
});

test("a collector that is away, or a protocol that is not supported, does no harm", { skip }, async (t) => {
  for (const [env, log] of [
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await freePort()}` }, /serving/],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1", OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" },
      /no traces are sent variable=OTEL_EXPORTER_OTLP_PROTOCOL found=grpc expected=http\/protobuf/,
    ],
  ] as const) {
    const folder = new Folder();
    t.after(() => folder.remove());
    const socket = join(folder.path, "run/berth.sock");
    const daemon = await start(process.execPath, berthdArgs(folder.path), answers(socket), env);
    const client = connect({ address: socket });
    await client.snapshots.prepare("k", "");
    client.close();
    assert.match(daemon.log(), log);
    await daemon.stop();
  }
});
