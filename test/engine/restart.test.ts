/** containerd's restart labels, as `ctr` and nerdctl set them; and the calls behind `berth stop` and `berth restart`. */
import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { after } from "node:test";
import { BerthClient } from "@berth/client";
import { cannotRun, Folder, run, startBerthd } from "../support/daemons.ts";
import { busyboxLayer, makeImage, ociArchive } from "../support/images.ts";
import { until } from "../support/until.ts";

const skip = cannotRun("/usr/bin/ctr") ?? false;
const NAME = "docker.io/library/bb:1";
const STATUS = "containerd.io/restart.status";

test("containers kept running by containerd's labels", { skip }, async (t) => {
  const folder = new Folder();
  let daemon = await startBerthd(folder.path);
  after(async () => {
    for (const id of ["on", "made", "none"]) {
      await daemon.ctr("containers", "label", id, `${STATUS}=stopped`);
      await daemon.ctr("tasks", "kill", "-s", "KILL", id);
      await until(`${id} has ended`, async () => !(await running(id)));
      await daemon.ctr("tasks", "rm", "-f", id);
    }
    await daemon.stop();
    await folder.remove();
  });
  const running = async (id: string) =>
    /(\d+)\s+RUNNING/.exec(
      (await daemon.ctr("tasks", "ls")).stdout.split("\n").find((line) => line.startsWith(`${id} `)) ?? "",
    )?.[1];
  const labels = async (id: string) =>
    JSON.parse((await daemon.ctr("containers", "info", id)).stdout).Labels as Record<string, string>;
  const archive = join(folder.path, "image.tar");
  writeFileSync(archive, ociArchive(makeImage([busyboxLayer()]), NAME));
  assert.equal((await daemon.ctr("images", "import", archive)).code, 0);

  await t.test(
    "an exited task is restarted, with its output to the label's target, and counted",
    async () => {
      const log = join(folder.path, "on.log");
      const wanted = [
        "--label",
        `${STATUS}=running`,
        "--label",
        `containerd.io/restart.loguri=file://${log}`,
      ];
      const command = ["/bin/sh", "-c", "echo started; exec /bin/sleep 300"];
      assert.equal((await daemon.ctr("run", "-d", ...wanted, NAME, "on", ...command)).code, 0);
      const first = await running("on");
      assert.ok(first);
      assert.equal((await daemon.ctr("tasks", "kill", "-s", "KILL", "on")).code, 0);
      await until("another one runs", async () => ![undefined, first].includes(await running("on")));
      assert.equal((await labels("on"))["containerd.io/restart.count"], "1");
      await until("it has written", async () => readFileSync(log, "utf8") === "started\n");
    },
  );

  await t.test(
    "one that was never started is started, and a kill of the daemon changes nothing",
    async () => {
      const create = [
        "containers",
        "create",
        "--label",
        `${STATUS}=running`,
        NAME,
        "made",
        "/bin/sleep",
        "300",
      ];
      assert.equal((await daemon.ctr(...create)).code, 0);
      await daemon.stop("SIGKILL");
      daemon = await startBerthd(folder.path);
      await until("it runs", async () => (await running("made")) !== undefined);
      assert.ok(await running("on"));
    },
  );

  await t.test("policies on-failure and unless-stopped", async () => {
    const wanted = ["--label", `${STATUS}=running`, "--label", "containerd.io/restart.policy=on-failure:1"];
    assert.equal((await daemon.ctr("run", "-d", ...wanted, NAME, "none", "/bin/sleep", "300")).code, 0);
    const kill = () => daemon.ctr("tasks", "kill", "-s", "KILL", "none");
    const first = await running("none");
    await kill();
    await until("another one runs", async () => ![undefined, first].includes(await running("none")));
    await kill();
    await until("it has ended", async () => (await running("none")) === undefined);
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal(await running("none"), undefined);
    assert.equal((await labels("none"))["containerd.io/restart.count"], "1");
  });

  await t.test("a stop sets the labels that keep it stopped, and a restart removes them", async () => {
    const client = new BerthClient({ address: daemon.socket });
    t.after(() => client.close());
    const made = await client.containers.get("made");
    assert.deepEqual(await made.stop({ seconds: 0 }), { wasRunning: true, code: 137 });
    assert.deepEqual(await made.stop(), { wasRunning: false, code: 0 });
    assert.equal((await labels("made"))[STATUS], "stopped");
    const pid = await made.restart();
    assert.equal(await running("made"), String(pid));
    await until("its labels say so", async () => (await labels("made"))[STATUS] === "running");
    await assert.rejects(made.stop({ signal: 65 }), /signal: found 65/);
    const missing = await run("/usr/bin/curl", [
      ...["-s", "--unix-socket", daemon.socket, "-H", "content-type: application/json"],
      ...["-H", "containerd-namespace: default", "-d", '{"containerId":"nobody"}'],
      "http://berth/berth.v1.Supervisor/Stop",
    ]);
    assert.match(missing.stdout, /"not_found"/);
  });

  rmSync(archive);
});
