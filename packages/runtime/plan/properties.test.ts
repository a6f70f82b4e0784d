/** Properties of any config.json: it is refused with a BerthError, or its plan stays inside the root. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BerthError } from "@berth/base";
import { defaultSpec, parseSpec, type Spec, stringifyJson } from "@berth/oci";
import fc from "fast-check";
import { parseLayout } from "../cgroups/layout.ts";
import { cgroupPaths } from "../cgroups/paths.ts";
import { compileContainer } from "./compile.ts";
import { encodePlan } from "./encode.ts";
import { OPERATIONS, type Operation, type Plan, SECTIONS } from "./operations.ts";

const ROOTFS = "/b/rootfs";
const LAYOUTS = [
  parseLayout(`30 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 25 0:28 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices`),
  parseLayout("30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw"),
];

/** Makes all fields optional and rare, so that most documents have few unusual fields and many are valid. */
function rarely<T extends Record<string, unknown>>(
  fields: {
    [K in keyof T]: fc.Arbitrary<T[K]>;
  },
): fc.Arbitrary<Partial<T>> {
  const absent = { weight: 7, arbitrary: fc.constant(undefined) };
  const rare = Object.entries(fields).map(([key, value]): [string, fc.Arbitrary<unknown>] => [
    key,
    fc.oneof(absent, { weight: 1, arbitrary: value }),
  ]);
  return fc
    .record(Object.fromEntries(rare))
    .map((all) => Object.fromEntries(Object.entries(all).filter(([, v]) => v !== undefined)) as Partial<T>);
}

const path = fc.oneof(
  fc.constantFrom(
    "/a",
    "/proc",
    "/dev",
    "/dev/null",
    "/sys",
    "/../../etc",
    "/a/../../b",
    "//",
    "/b/rootfs/x",
  ),
  fc.string({ maxLength: 12 }).map((s) => `/${s}`),
);
const number = fc.oneof(fc.nat(1000), fc.constantFrom(0, 1, -1, 2 ** 32, 2 ** 53));
const text = fc.oneof(fc.stringMatching(/^[a-z]{1,8}$/), fc.string({ maxLength: 20 }));
const options = fc.array(
  fc.oneof(
    fc.constantFrom(
      ..."bind rbind ro rro idmap ridmap tmpcopyup remount private rshared size=1k x=".split(" "),
    ),
    text,
  ),
  { maxLength: 4 },
);
const mapping = fc.record({ containerID: number, hostID: number, size: number }, { requiredKeys: [] });
const mount = fc
  .tuple(
    path,
    rarely({
      type: fc.constantFrom("bind", "tmpfs", "proc", "sysfs", "cgroup", "mqueue", "absent", "", "overlay"),
      source: fc.oneof(path, text),
      options,
      uidMappings: fc.array(mapping, { maxLength: 2 }),
      gidMappings: fc.array(mapping, { maxLength: 2 }),
    }),
  )
  .map(([destination, rest]) => ({ type: "tmpfs", ...rest, destination }));
const namespace = fc.record(
  {
    type: fc.constantFrom("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"),
    path,
  },
  { requiredKeys: ["type"] },
);
const hook = fc.record(
  { path, args: fc.array(text), env: fc.array(text), timeout: number },
  { requiredKeys: [] },
);
const hooks = fc.dictionary(
  fc.constantFrom("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"),
  fc.array(hook, { maxLength: 2 }),
);
const process = rarely({
  terminal: fc.boolean(),
  cwd: path,
  args: fc.array(text, { maxLength: 3 }),
  env: fc.array(text, { maxLength: 3 }),
  user: fc.record(
    { uid: number, gid: number, umask: number, additionalGids: fc.array(number) },
    { requiredKeys: [] },
  ),
  scheduler: fc.record({
    policy: fc.constantFrom("SCHED_FIFO", "SCHED_DEADLINE", "x"),
    nice: number,
    runtime: number,
  }),
  ioPriority: fc.record({ class: fc.constantFrom("IOPRIO_CLASS_RT", "y"), priority: number }),
  execCPUAffinity: fc.record({ initial: text, final: text }),
  apparmorProfile: text,
  selinuxLabel: text,
  rlimits: fc.array(
    fc.record({ type: fc.constantFrom("RLIMIT_CPU", "RLIMIT_X"), soft: number, hard: number }),
  ),
  capabilities: fc.record({ bounding: fc.array(fc.constantFrom("CAP_KILL", "CAP_NO", "kill")) }),
});
const linux = rarely({
  namespaces: fc.array(namespace, { maxLength: 6 }),
  uidMappings: fc.array(mapping, { maxLength: 2 }),
  gidMappings: fc.array(mapping, { maxLength: 2 }),
  maskedPaths: fc.array(path, { maxLength: 3 }),
  readonlyPaths: fc.array(path, { maxLength: 3 }),
  rootfsPropagation: fc.constantFrom("", "shared", "rprivate", "odd"),
  cgroupsPath: fc.oneof(path, text),
  sysctl: fc.dictionary(fc.oneof(text, fc.constantFrom("net.a", "kernel.shmmax", "net/../x")), text),
  devices: fc.array(
    fc.record({ path, type: fc.constantFrom("c", "b", "p", "u"), major: number, minor: number }),
  ),
  timeOffsets: fc.dictionary(fc.constantFrom("monotonic", "boottime", "z"), fc.record({ secs: number })),
  memoryPolicy: fc.record({ mode: fc.constantFrom("MPOL_BIND", "MPOL_LOCAL"), nodes: text }),
  resources: fc.jsonValue({ maxDepth: 3 }),
  mountLabel: text,
});
const anySpec = fc.record(
  { process, linux, hooks, mounts: fc.array(mount, { maxLength: 6 }), hostname: text, junk: fc.jsonValue() },
  { requiredKeys: [] },
);

/** Compiles a document; undefined if it is refused with a BerthError. Any other error fails the test. */
function plan(document: unknown, confined: boolean, layout: (typeof LAYOUTS)[number]): Plan | undefined {
  try {
    const spec: Spec = parseSpec(stringifyJson(document));
    const paths = cgroupPaths(layout, spec.linux?.cgroupsPath, "c");
    return compileContainer({
      id: "c",
      bundle: "/b",
      spec,
      process: spec.process ?? { user: { uid: 0, gid: 0 }, cwd: "/" },
      state: { ociVersion: spec.ociVersion, id: "c", status: "creating", bundle: "/b" },
      linux: spec.linux ?? {},
      owner: { uid: confined ? 1000 : 0, gid: 0, confined, setgroupsDenied: false, helpers: undefined },
      selinux: true,
      netDevices: [],
      rdt: undefined,
      rootfs: ROOTFS,
      rootMounts: [],
      cgroup: { layout, paths, facts: { cpusets: [], delegate: [] } },
      kernelRelease: "6.1.0",
      noPivot: false,
      noNewKeyring: false,
      attachment: spec.process?.terminal ? { kind: "console-socket", slot: 0 } : { kind: "inherit" },
      wait: false,
      preserved: [],
      inherited: spec.process?.terminal ? 1 : 0,
      seccomp: undefined,
      gate: { fifo: "/run/c/exec.fifo", report: "/run/c/exec.report" },
    });
  } catch (error) {
    assert.ok(error instanceof BerthError, String((error as Error).stack));
    return undefined;
  }
}

const SIGNATURES = new Map<string, string>(OPERATIONS.map(([name, signature]) => [name, signature]));

function fitsSignature(op: Operation): void {
  const signature = SIGNATURES.get(op.name)!;
  op.args.forEach((arg, i) => {
    const letter = signature[i] === "*" || signature[i] === undefined ? signature.at(-2) : signature[i];
    const kind = typeof arg === "number" || typeof arg === "bigint" ? "i" : "s";
    assert.equal(kind === "i", letter === "i", `${op.name}: argument ${i} is ${String(arg)}`);
  });
}

/** Index of the argument that is a directory's slot, of operations that take a path below one. */
const BELOW: Readonly<Record<string, number>> = {
  target: 1,
  symlink: 0,
  mknod: 0,
  mask: 0,
  readonly: 0,
  inherit_mode: 1,
  console: 0,
  pivot_root: 0,
  chroot: 0,
};
/** Host paths that the new process may open by name, besides sources of binds and devices. */
const BY_NAME = new Set(["/", ROOTFS, "/dev/null", "/proc/self/ns/time_for_children"]);

function staysInside(p: Plan, sources: ReadonlySet<string>): void {
  const origins = new Map<number, string>();
  for (const section of SECTIONS)
    for (const op of p.sections[section]) {
      fitsSignature(op);
      const at = BELOW[op.name];
      if (at !== undefined && section === "child") {
        const from = origins.get(Number(op.args[at]));
        assert.ok(from === "root" || from === "inside" || op.name === "console", `${op.words}: from ${from}`);
      }
      if (op.name === "mkdir" || op.name === "write")
        assert.match(String(op.args[0]), /^\/sys\/fs\/(cgroup|resctrl)\//, op.words);
      if (op.name === "mount") assert.fail(`${op.words}: by name`);
      if (op.name === "open_tree" || op.name === "open") {
        const path = String(op.name === "open" ? op.args[1] : op.args[2]);
        const byName = op.name === "open" || Number(op.args[1]) === -100;
        if (section === "child" && byName)
          assert.ok(
            BY_NAME.has(path) || sources.has(path) || path.startsWith("/sys/fs/cgroup"),
            `${op.words}: ${path}`,
          );
        origins.set(Number(op.args[0]), path === ROOTFS || path === "/" ? "root" : "host");
      }
      if (["target", "fsmount"].includes(op.name)) origins.set(Number(op.args[0]), "inside");
    }
}

test("any config.json is refused with a BerthError, or gives a valid plan that stays inside the root", () => {
  let compiled = 0;
  fc.assert(
    fc.property(anySpec, fc.boolean(), fc.constantFrom(...LAYOUTS), (change, confined, layout) => {
      const base = defaultSpec() as unknown as Record<string, Record<string, unknown>>;
      const document = {
        ...base,
        ...change,
        process: { ...base.process, ...change.process },
        linux: { ...base.linux, ...change.linux },
      };
      const p = plan(document, confined, layout);
      if (p === undefined) return;
      compiled++;
      encodePlan(p);
      const sources = (change.mounts ?? defaultSpec().mounts ?? []).map((m) => m.source ?? "");
      const binds = sources.map((source) => (source.startsWith("/") ? source : `/b/${source}`));
      const devices = "full null random tty urandom zero".split(" ").map((name) => `/dev/${name}`);
      staysInside(p, new Set([...devices, ...(change.linux?.devices ?? []).map((d) => d.path), ...binds]));
    }),
    { numRuns: 3000 },
  );
  assert.ok(compiled > 50, `only ${compiled} of the documents were valid`);
});

test("arbitrary JSON is refused with a BerthError", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.boolean(), (document, confined) => {
      plan(document, confined, LAYOUTS[0]!);
    }),
    { numRuns: 1000 },
  );
});
