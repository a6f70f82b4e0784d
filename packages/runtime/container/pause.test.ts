import assert from "node:assert/strict";
import { test } from "node:test";
import { isCode } from "@berth/base";
import { FakeSys } from "@berth/sys";
import { openRuntime } from "../state/runtime.ts";
import { pause } from "./pause.ts";

const INIT = 10;
const ADDED = 11;
const FREEZER = "/sys/fs/cgroup/freezer/c";
const SIGKILL_PENDING = "SigPnd:\t0000000000000000\nShdPnd:\t0000000000000100\n";
const NOTHING_PENDING = "SigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n";

/** A container with an exec'd process. A killed process exits once it is thawed for a while. */
class Machine extends FakeSys {
  constructor(killed: number) {
    super();
    const cgroup = { path: "/c", v1: { freezer: FREEZER } };
    const record = { version: 1, id: "c", pid: INIT, startTime: 5, cgroup, namespaces: ["pid"] };
    this.put("/run/c/record.json", JSON.stringify(record));
    this.put(`${FREEZER}/freezer.state`, "THAWED");
    this.put(`${FREEZER}/cgroup.procs`, `${INIT}\n${ADDED}\n`);
    for (const pid of [INIT, ADDED]) {
      this.put(`/proc/${pid}/stat`, `${pid} (sh) S 1${" 0".repeat(17)} 5`);
      this.put(`/proc/${pid}/status`, pid === killed ? SIGKILL_PENDING : NOTHING_PENDING);
    }
  }

  override async sleep(ms: number): Promise<void> {
    await super.sleep(ms);
    if (this.readText(`${FREEZER}/freezer.state`) !== "THAWED") return;
    const alive = [INIT, ADDED].filter((pid) => this.readText(`/proc/${pid}/status`) === NOTHING_PENDING);
    this.put(`${FREEZER}/cgroup.procs`, alive.map((pid) => `${pid}\n`).join(""));
  }

  get frozen(): boolean {
    return this.readText(`${FREEZER}/freezer.state`) === "FROZEN";
  }
}

test("pause lets a process with SIGKILL pending exit first", async () => {
  const sys = new Machine(ADDED);
  await pause(openRuntime(sys, "/run", { systemd: false }), "c");
  assert.ok(sys.frozen);
  assert.equal(sys.readText(`${FREEZER}/cgroup.procs`), `${INIT}\n`);
});

test("a container whose init is being killed cannot be paused", async () => {
  const sys = new Machine(INIT);
  await assert.rejects(pause(openRuntime(sys, "/run", { systemd: false }), "c"), (e) =>
    isCode(e, "failed_precondition"),
  );
  assert.ok(!sys.frozen, "init can exit");
});
