import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { DEFAULT_CAPABILITIES } from "../build/defaults.ts";
import { stringifyJson } from "../json.ts";
import { dockerSeccomp } from "./docker.ts";
import { DOCKER_RULES } from "./docker-rules.ts";

// Any change of the rules must be deliberate: these digests were taken when they equalled moby's default.json.
test("the table equals moby's profile", () => {
  const canonical = DOCKER_RULES.map((rule) => [
    rule.calls.trim().split(/\s+/).sort(),
    rule.action ?? "SCMP_ACT_ALLOW",
    rule.errnoRet ?? null,
    (rule.args ?? []).map((arg) => [arg.index, String(arg.value), String(arg.valueTwo ?? 0), arg.op]),
    rule.caps ?? [],
    rule.withoutCaps ?? [],
    rule.machines ?? [],
    rule.notMachines ?? [],
    rule.kernel?.join(".") ?? null,
  ]);
  const digest = createHash("sha256").update(JSON.stringify(canonical)).digest("hex");
  assert.equal(digest, "541dacfc9355d3d1857a1b5454278fd38a3ae6ec70078ba3966da81c923246c6");
});

test("conditions depend on capabilities, machine and kernel", () => {
  const names = (caps: readonly string[], machine: "amd64" | "s390x" = "amd64", kernel?: [number, number]) =>
    dockerSeccomp({ machine, capabilities: caps, ...(kernel ? { kernel } : {}) }).syscalls!.flatMap(
      (r) => r.names,
    );
  assert.ok(!names(DEFAULT_CAPABILITIES).includes("mount"));
  assert.ok(names([...DEFAULT_CAPABILITIES, "CAP_SYS_ADMIN"]).includes("mount"));
  assert.ok(names([]).includes("ptrace"));
  assert.ok(!names([], "amd64", [4, 7]).includes("ptrace"));
  assert.ok(names([]).includes("arch_prctl"));
  assert.ok(!names([], "s390x").includes("arch_prctl"));
  const clone = dockerSeccomp({ machine: "s390x", capabilities: [] }).syscalls!.find(
    (r) => r.names[0] === "clone",
  );
  assert.equal(clone?.args?.[0]?.index, 1);
  assert.match(stringifyJson(dockerSeccomp({ machine: "amd64", capabilities: [] })), /"errnoRet":38/);
});
