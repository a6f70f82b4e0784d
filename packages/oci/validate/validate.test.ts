import assert from "node:assert/strict";
import { test } from "node:test";
import { BerthError } from "@berth/base";
import { parseSpec, stringifyJson, validateProcess, validateResources } from "../index.ts";

const minimal = {
  ociVersion: "1.0.2",
  process: { cwd: "/", args: ["sh"], user: {} },
  root: { path: "rootfs" },
};

function failure(change: object): string {
  try {
    parseSpec(stringifyJson({ ...minimal, ...change }));
  } catch (error) {
    assert.ok(error instanceof BerthError);
    assert.equal(error.code, "invalid_argument");
    return error.message;
  }
  return "accepted";
}

test("a minimal document gets its defaults and keeps unknown fields", () => {
  const spec = parseSpec(stringifyJson({ ...minimal, zos: { x: 1 }, hostname: null }));
  assert.deepEqual(spec.process?.user, { uid: 0, gid: 0 });
  assert.ok(!("hostname" in spec));
  assert.ok("zos" in spec);
});

test("64-bit integers survive reading and writing", () => {
  const text = stringifyJson({
    ...minimal,
    process: {
      ...minimal.process,
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 18446744073709551615n, soft: 1024 }],
    },
  });
  const spec = parseSpec(text);
  assert.equal(spec.process?.rlimits?.[0]?.hard, 18446744073709551615n);
  assert.match(stringifyJson(spec), /18446744073709551615/);
});

test("errors name the field, what was found and what was expected", () => {
  const linux = (l: object) => ({ linux: l });
  const cases: [object, RegExp][] = [
    [{ ociVersion: 5 }, /^config\.json: ociVersion: found 5, expected a string/],
    [{ ociVersion: "2.0.0" }, /ociVersion: found "2\.0\.0", expected a version/],
    [{ ociVersion: undefined }, /ociVersion: found nothing/],
    [{ process: { cwd: "/", args: ["a", 5] } }, /process\.args\[1\]: found 5, expected a string/],
    [{ process: { cwd: "tmp", args: ["a"] } }, /process\.cwd: found "tmp", expected an absolute path/],
    [{ process: { cwd: "/", args: [] } }, /process\.args: found an empty list/],
    [{ root: {} }, /root\.path: found nothing/],
    [{ hostname: "h" }, /hostname: found "h", expected a namespace of type "uts"/],
    [{ mounts: [{ type: "proc" }] }, /mounts\[0\]\.destination: found nothing/],
    [{ hooks: { poststop: [{ path: "x" }] } }, /hooks\.poststop\[0\]\.path: found "x", expected an absolute/],
    [linux({ namespaces: [{ type: "pid" }, { type: "pid" }] }), /namespaces\[1\]\.type: found "pid"/],
    [linux({ namespaces: [{ type: "moon" }] }), /namespaces\[0\]\.type: found "moon", expected one of pid/],
    [linux({ uidMappings: [{ containerID: 0, hostID: 0, size: 1 }] }), /uidMappings: found a list/],
    [linux({ namespaces: [{ type: "user" }] }), /linux\.uidMappings: found nothing, expected at least one/],
    [linux({ devices: [{ path: "/dev/x", type: "q" }] }), /devices\[0\]\.type: found "q"/],
    [linux({ devices: [{ path: "/dev/x", type: "c" }] }), /devices\[0\]\.major: found nothing/],
    [
      linux({ seccomp: { defaultAction: "ALLOW" } }),
      /seccomp\.defaultAction: found "ALLOW", expected one of/,
    ],
    [
      linux({ seccomp: { defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_VAX"] } }),
      /architectures\[0\]: found "SCMP_ARCH_VAX"/,
    ],
    [linux({ sysctl: { "kernel.panic": "1" } }), /sysctl\["kernel\.panic"\]/],
    [linux({ sysctl: { "net.ipv4.ip_forward": "1" } }), /namespace of type "network"/],
    [
      linux({ resources: { memory: { limit: "1g" } } }),
      /resources\.memory\.limit: found "1g", expected a whole/,
    ],
    [linux({ resources: { cpu: { shares: 1.5 } } }), /resources\.cpu\.shares: found 1\.5/],
  ];
  for (const [change, expected] of cases) assert.match(failure(change), expected);
  assert.match(failure({ linux: { timeOffsets: { monotonic: { secs: 1 } } } }), /type "time"/);
});

test("duplicate limits are refused, unknown capabilities only reported", () => {
  const warnings: string[] = [];
  validateProcess(
    { cwd: "/", args: ["x"], capabilities: { bounding: ["CAP_KILL", "CAP_FLY"] } },
    { onWarning: (w) => warnings.push(w) },
  );
  assert.deepEqual(warnings, ["process.capabilities.bounding: ignoring CAP_FLY, which is unknown here"]);
  const limit = { type: "RLIMIT_CPU", hard: 1, soft: 1 };
  assert.throws(() => validateProcess({ cwd: "/", rlimits: [limit, limit] }), /rlimits\[1\]\.type/);
  assert.throws(() => validateProcess({ cwd: "/", capabilities: { bounding: [7] } }), /found 7/);
});

test("fields match in any capitals, and duplicates are merged", () => {
  const resources = validateResources({
    cpu: { shares: 5 },
    CPU: { Cpus: "0" },
    HugePageLimits: [{ pagesize: "2MB", limit: 1 }],
    unified: { "Memory.MIN": "1" },
  });
  assert.deepEqual(resources, {
    cpu: { shares: 5, cpus: "0" },
    hugepageLimits: [{ pageSize: "2MB", limit: 1 }],
    unified: { "Memory.MIN": "1" },
  });
});

test("text that is not JSON is an error with the document's name", () => {
  assert.throws(() => parseSpec("{"), /config\.json is not valid JSON/);
  assert.throws(
    () => parseSpec("", { what: "/b/config.json" }),
    /\/b\/config\.json is not valid JSON: it is empty/,
  );
  assert.throws(() => parseSpec("[]"), /config\.json: the document: found an empty list, expected an object/);
});
