/** The pause role: namespaces that containers join, and nothing else. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { test } from "node:test";
import { openRuntime, startSandbox } from "@berth/runtime";
import { realSys } from "@berth/sys";
import { makeBundle } from "../support/bundles.ts";

test("a sandbox holds namespaces that a container joins, without descriptors and capabilities", async (t) => {
  const b = makeBundle(t);
  const { pid } = await startSandbox(openRuntime(realSys, b.root), {
    name: `test-${process.pid}-pod`,
    namespaces: ["ipc", "uts", "network"],
    hostname: "pod",
  });
  t.after(() => realSys.kill(pid, 9));
  for (const ns of ["ipc", "uts", "net"])
    assert.notEqual(readlinkSync(`/proc/${pid}/ns/${ns}`), readlinkSync(`/proc/self/ns/${ns}`));
  assert.equal(readlinkSync(`/proc/${pid}/ns/mnt`), readlinkSync("/proc/self/ns/mnt"));
  assert.deepEqual(readdirSync(`/proc/${pid}/fd`), ["0", "1", "2"]);
  assert.match(readFileSync(`/proc/${pid}/status`, "utf8"), /CapEff:\t0+\n/);
  assert.ok(
    Number(/^Pss_Anon: +(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1]) < 200,
    "less than 200 kB of its own",
  );
  b.configure((s) => {
    delete s.hostname;
    s.process!.args = ["sh", "-c", "hostname; ip addr show lo"];
    s.linux!.namespaces = [
      { type: "mount" },
      { type: "pid" },
      ...(["ipc", "uts", "network"] as const).map((type) => ({
        type,
        path: `/proc/${pid}/ns/${type === "network" ? "net" : type}`,
      })),
    ];
  });
  const inside = b.runc("run", b.id);
  assert.equal(inside.status, 0, inside.stderr);
  assert.match(inside.stdout, /^pod\n[\s\S]*LOOPBACK,UP[\s\S]*127\.0\.0\.1/);
  realSys.kill(pid, 15);
  const end = Date.now() + 5000;
  while (
    existsSync(`/proc/${pid}/ns/net`) &&
    !/State:\tZ/.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  ) {
    assert.ok(Date.now() < end, "SIGTERM does not end it");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
});
