/** Metrics: on the socket, and over TCP if configured. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { after } from "node:test";
import { berthdArgs, cannotRun, Folder, freePort, run, startBerthd } from "../support/daemons.ts";
import { busyboxLayer, makeImage, ociArchive } from "../support/images.ts";

const NAME = "docker.io/library/bb:1";

test("GET /metrics", { skip: cannotRun("/usr/bin/ctr", "/usr/bin/curl") ?? false }, async (t) => {
  const folder = new Folder();
  const port = await freePort();
  const config = join(folder.path, "config.toml");
  writeFileSync(config, `[metrics]\naddress = "127.0.0.1:${port}"\n`);
  const daemon = await startBerthd(folder.path, ["--config", config]);
  after(async () => {
    await daemon.ctr("tasks", "kill", "-s", "KILL", "c1");
    await daemon.ctr("tasks", "rm", "-f", "c1");
    await daemon.stop();
    await folder.remove();
  });
  const archive = join(folder.path, "image.tar");
  writeFileSync(archive, ociArchive(makeImage([busyboxLayer()]), NAME));
  assert.equal((await daemon.ctr("images", "import", archive)).code, 0);
  assert.equal((await daemon.ctr("run", "-d", NAME, "c1", "/bin/sleep", "300")).code, 0);
  assert.equal((await daemon.ctr("containers", "create", NAME, "c2")).code, 0);
  const socket = async (...args: string[]) =>
    (await run("/usr/bin/curl", ["-sS", "--unix-socket", daemon.socket, ...args])).stdout;

  await t.test("containers by state, timers of operations and their stages, events", async () => {
    const text = await socket("http://berth/metrics");
    assert.match(text, /^berth_containers\{namespace="default",state="running"\} 1$/m);
    assert.match(text, /^berth_containers\{namespace="default",state="none"\} 1$/m);
    assert.match(text, /^berth_operation_seconds_count\{operation="tasks\.Create"\} 1$/m);
    assert.match(
      text,
      /^berth_stage_seconds_bucket\{operation="tasks\.Create",stage="runtime create",le="\+Inf"\} 1$/m,
    );
    assert.match(text, /^berth_operation_seconds_count\{operation="tasks\.Start"\} 1$/m);
    // Containerd's names, too.
    assert.match(text, /^containerd_build_info_total\{revision="\w+",version="v2\S+"\} 1$/m);
    const start = 'grpc_method="Start",grpc_service="containerd.services.tasks.v1.Tasks",grpc_type="unary"';
    assert.ok(text.includes(`grpc_server_started_total{${start}} 1\n`), text);
    assert.ok(text.includes(`grpc_server_handled_total{grpc_code="OK",${start}} 1\n`));
    assert.match(text, /^grpc_server_handled_total\{grpc_code="NotFound",/m);
    assert.match(
      text,
      /^container_cpu_(total_nanoseconds|usage_usec_microseconds)\{container_id="\w+",namespace="default"\} [1-9]\d*$/m,
    );
    assert.match(text, /^container_pids_current\{container_id="\w+",namespace="default"\} 1$/m);
    assert.match(text, /^berth_operation_seconds_count\{operation="collect garbage"\} \d+$/m);
    assert.match(text, /^berth_events_total\{topic="\/tasks\/start"\} 1$/m);
    assert.equal((await daemon.ctr("tasks", "start", "c1")).code, 1);
    assert.match(
      await socket("http://berth/metrics"),
      /^berth_operation_failures_total\{operation="tasks\./m,
    );
    // Every line is a comment, or a sample with one number.
    for (const line of text.trimEnd().split("\n"))
      assert.match(line, /^(# (HELP|TYPE) \w+ .+|\w+(\{([a-z]\w*="[^"]*",?)+\})? [0-9.e+-]+)$/);
  });

  await t.test("over TCP, only the metrics", async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/metrics`);
    assert.equal(answer.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert.match(await answer.text(), /^berth_build_info\{/m);
    for (const [path, method] of [
      ["/", "GET"],
      ["/metrics", "POST"],
      ["/berth.v1.Doctor/Examine", "POST"],
    ])
      assert.equal((await fetch(`http://127.0.0.1:${port}${path}`, { method: method! })).status, 404);
  });

  await t.test("a non-loopback address is refused, with its line", async () => {
    writeFileSync(config, '[metrics]\naddress = "0.0.0.0:9100"\n');
    const { code, stderr } = await run(
      process.execPath,
      berthdArgs(join(folder.path, "x"), "--config", config),
    );
    assert.equal(code, 1);
    assert.match(
      stderr,
      /config\.toml:2:1: metrics\.address is "0\.0\.0\.0:9100", expected 127\.0\.0\.1:PORT/,
    );
  });
});
