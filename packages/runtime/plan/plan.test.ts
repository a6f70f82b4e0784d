import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { defaultSpec, type Spec } from "@berth/oci";
import fc from "fast-check";
import { parseLayout } from "../cgroups/layout.ts";
import { cgroupPaths } from "../cgroups/paths.ts";
import { describePlan } from "../explain.ts";
import { PlanBuilder } from "./builder.ts";
import { type CompileInput, compileContainer } from "./compile.ts";
import { compileExec } from "./compile-exec.ts";
import { encodePlan } from "./encode.ts";
import { OPERATIONS, type Operation, type Plan, type SectionName } from "./operations.ts";

const HYBRID = parseLayout(`30 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 25 0:28 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices
33 25 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw`);
const V2 = parseLayout("30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw");

function input(change: (spec: Spec) => void = () => {}, more: Partial<CompileInput> = {}): CompileInput {
  const spec = defaultSpec();
  spec.process!.terminal = false;
  change(spec);
  const layout = more.cgroup?.layout ?? HYBRID;
  return {
    id: "c",
    bundle: "/b",
    spec,
    process: spec.process!,
    rootfs: "/b/rootfs",
    rootMounts: [],
    cgroup: {
      layout,
      paths: cgroupPaths(layout, spec.linux?.cgroupsPath, "c"),
      facts: { cpusets: [], delegate: [] },
    },
    state: { ociVersion: spec.ociVersion, id: "c", status: "creating", bundle: "/b" },
    linux: spec.linux ?? {},
    owner: { uid: 0, gid: 0, confined: false, setgroupsDenied: false, helpers: undefined },
    selinux: false,
    netDevices: [],
    rdt: undefined,
    kernelRelease: "6.1.0",
    noPivot: false,
    noNewKeyring: false,
    attachment: { kind: "inherit" },
    wait: false,
    preserved: [],
    inherited: 0,
    seccomp: undefined,
    gate: { fifo: "/run/c/exec.fifo", report: "/run/c/exec.report" },
    ...more,
  };
}

const names = (plan: Plan, section: SectionName) => plan.sections[section].map((op) => op.name);
const find = (plan: Plan, words: RegExp): Operation | undefined =>
  Object.values(plan.sections)
    .flat()
    .find((op) => words.test(op.words));

test("berth-init has the same operations, in the same order, with the same signatures", (t) => {
  const program = new URL("../../../build/berth-init", import.meta.url).pathname;
  if (!existsSync(program)) return t.skip("berth-init is not built");
  const printed = execFileSync(program, ["--operations"], { encoding: "utf8" }).trimEnd().split("\n");
  assert.deepEqual(
    printed,
    OPERATIONS.map(([name, signature], code) => `${code} ${name} ${signature}`),
  );
});

test("every operation's arguments match its signature", () => {
  const all = compileContainer(
    input(
      (s) => (s.linux!.resources = { devices: [{ allow: false, access: "rwm" }], memory: { limit: 1e6 } }),
    ),
  );
  const table = new Map<string, string>(OPERATIONS.map(([name, signature]) => [name, signature]));
  for (const op of Object.values(all.sections).flat()) {
    const letters = table.get(op.name)!;
    const expanded = letters.endsWith("*")
      ? letters.slice(0, -2) + letters.at(-2)!.repeat(op.args.length - letters.length + 2)
      : letters;
    const found = op.args
      .map((a) => (typeof a === "string" ? "s" : a instanceof Uint8Array ? "b" : "i"))
      .join("");
    assert.equal(found.replaceAll("b", "s"), expanded.replaceAll("b", "s"), op.words);
  }
});

test("file modes and ignored errnos are arguments of operations", () => {
  const streams = {
    stdin: { kind: "null" },
    stdout: { kind: "null" },
    stderr: { kind: "null" },
    log: "/l",
  } as const;
  const keeper = { folder: "/k", exitName: "exit", socket: "/k/sock", streams, cgroup: [] };
  const plan = compileContainer(
    input((s) => s.mounts!.push({ destination: "/t", type: "tmpfs" }), {
      attachment: { kind: "keeper", keeper },
    }),
  );
  const ends = (name: Operation["name"], from: number) =>
    new Set(
      Object.values(plan.sections)
        .flat()
        .filter((op) => op.name === name)
        .map((op) => op.args.slice(from).join(" ")),
    );
  const [folder, file] = [0o755, 0o644];
  assert.deepEqual(ends("target", 5), new Set([`${folder} ${file}`]));
  assert.deepEqual(ends("mknod", 6), new Set([`${folder}`]));
  assert.deepEqual(ends("symlink", 3), new Set([`${folder} 17`]), "EEXIST");
  assert.deepEqual(ends("mask", 4), new Set(["20 13"]), "ENOTDIR, EACCES");
  assert.deepEqual(
    ends("inherit_mode", 3),
    new Set(["2 20 13 40 36"]),
    "ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG",
  );
  assert.deepEqual([ends("keep", 2), ends("listen", 1)], [new Set([`${0o600}`]), new Set([`${0o600}`])]);
  assert.deepEqual(ends("log", 7), new Set([`${0o640}`]));
});

test("streams are the user's, and those on the host their owner's; the keeper enters its cgroup", () => {
  const fifo = (path: string) => ({ kind: "fifo", path }) as const;
  const streams = { stdin: fifo("/in"), stdout: fifo("/out"), stderr: { kind: "null" } } as const;
  const keeper = { folder: "/k", exitName: "exit", socket: "/s", cgroup: ["/cg/x"] };
  const owner = { uid: 100, gid: 200 };
  const compile = (uid: number, more: object) => {
    const attachment = { kind: "keeper", keeper: { ...keeper, streams: { ...streams, ...more } } } as const;
    return compileContainer(input((s) => Object.assign(s.process!.user, { uid }), { attachment }));
  };
  const words = (plan: Plan, section: SectionName, name: string) =>
    plan.sections[section].filter((op) => op.name === name).map((op) => op.words);
  const plan = compile(7, { owner });
  assert.deepEqual(words(plan, "setup", "own_slot"), ["give stdin to 100:200", "give stdout to 100:200"]);
  assert.deepEqual(words(plan, "child", "own_stdio"), ["give the standard streams to user 7"]);
  assert.ok(words(plan, "setup", "write").includes("move the keeper into /cg/x"));
  const logged = words(compile(0, { owner, log: "/l" }), "setup", "own_slot");
  assert.deepEqual(logged, ["give stdin to 100:200", "give stdout to 100:200", "give stderr to 100:200"]);
  assert.deepEqual(words(compile(0, {}), "child", "own_stdio"), []);
});

test("compiling is deterministic", () => {
  assert.deepEqual(encodePlan(compileContainer(input())), encodePlan(compileContainer(input())));
});

test("an encoded plan's header has its size and operation counts", () => {
  const plan = compileContainer(input());
  const view = new DataView(encodePlan(plan).buffer);
  assert.equal(view.getUint32(8, true), view.byteLength);
  assert.equal(view.getUint32(24, true), plan.sections.setup.length);
});

test("a NUL in any string is refused before anything runs", () => {
  assert.throws(() => encodePlan(compileContainer(input((s) => (s.hostname = "a\0b")))), /NUL/);
});

test("mounts precede pivot_root, the user follows it, exec is last", () => {
  const order = names(compileContainer(input()), "child");
  const at = (name: string) => order.lastIndexOf(name as Operation["name"]);
  assert.ok(at("move_mount") < at("pivot_root"));
  assert.ok(at("mask") < at("pivot_root"), "masks are clones of mounts that pivot_root detaches");
  assert.ok(at("pivot_root") < at("setuid"));
  assert.ok(at("setgroups") < at("setgid") && at("setgid") < at("setuid") && at("setuid") < at("capset"));
  assert.equal(order.at(-1), "exec");
});

test("seccomp is loaded before capabilities are dropped, or last with noNewPrivileges", () => {
  const seccomp = { program: new Uint8Array(8), flags: 0 };
  const withoutNnp = names(
    compileContainer(input((s) => (s.process!.noNewPrivileges = false), { seccomp })),
    "child",
  );
  assert.ok(withoutNnp.indexOf("seccomp") < withoutNnp.indexOf("bounding"));
  const withNnp = names(
    compileContainer(input((s) => (s.process!.noNewPrivileges = true), { seccomp })),
    "child",
  );
  assert.deepEqual(withNnp.slice(-2), ["seccomp", "exec"]);
});

test("namespaces are created by clone, except the cgroup namespace, which is created in the container's cgroup", () => {
  const plan = compileContainer(input((s) => s.linux!.namespaces!.push({ type: "cgroup" })));
  assert.equal(plan.cloneFlags & 0x2000000, 0);
  assert.ok(find(plan, /root of a cgroup namespace/));
});

test("namespaces given by path are opened by the parent and joined by the go-between, user namespace last", () => {
  const plan = compileContainer(
    input((s) => {
      s.linux!.namespaces = [
        { type: "user", path: "/proc/1/ns/user" },
        { type: "network", path: "/run/netns/x" },
        { type: "mount" },
      ];
    }),
  );
  assert.deepEqual(
    plan.sections.join.map((op) => op.words),
    [
      "join the network namespace /run/netns/x",
      "join the user namespace /proc/1/ns/user",
      "close the network namespace /run/netns/x",
    ],
  );
});

test("without a mount namespace the root is not attached, and masks are refused", () => {
  const bare = (s: Spec) => {
    s.linux!.namespaces = [{ type: "pid" }];
    s.linux!.maskedPaths = [];
    s.linux!.readonlyPaths = [];
  };
  const plan = compileContainer(input(bare));
  assert.ok(!find(plan, /make all mounts slaves/), "the caller's mounts are not changed");
  assert.ok(!names(plan, "child").includes("pivot_root"));
  assert.deepEqual(plan.sections.child.find((op) => op.name === "chroot")?.args.slice(1), [0]);
  assert.throws(
    () => compileContainer(input((s) => (s.linux!.namespaces = [{ type: "pid" }]))),
    /linux.maskedPaths: unable to restrict sys entries without a private MNT namespace/,
  );
});

test("with a user namespace, the parent writes the maps and devices are bound from the host", () => {
  const plan = compileContainer(
    input((s) => {
      s.linux!.namespaces!.push({ type: "user" });
      s.linux!.uidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }];
      s.linux!.gidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }];
    }),
  );
  assert.equal(new TextDecoder().decode(find(plan, /map users/)!.args[1] as Uint8Array), "0 100000 65536\n");
  assert.ok(!names(plan, "child").includes("mknod"));
});

test("device rules: files on version 1, a program on version 2", () => {
  const rules = (s: Spec) => (s.linux!.resources = { devices: [{ allow: false, access: "rwm" }] });
  const v1 = compileContainer(input(rules));
  assert.ok(find(v1, /write "a" to .*devices.deny/));
  const cgroup = { layout: V2, paths: cgroupPaths(V2, undefined, "c"), facts: { cpusets: [], delegate: [] } };
  const v2 = compileContainer(input(rules, { cgroup }));
  assert.ok(names(v2, "setup").includes("bpf_device"));
  assert.ok(!names(v2, "enter").includes("enter_cgroup"), "the process is cloned into a version 2 cgroup");
  assert.ok(v2.cgroupSlot >= 0);
});

test("a limit whose controller is missing is an error that names the controller", () => {
  assert.throws(
    () => compileContainer(input((s) => (s.linux!.resources = { pids: { limit: 5 } }))),
    /pids.max needs the cgroup controller "pids"/,
  );
  assert.throws(
    () => compileContainer(input((s) => (s.linux!.resources = { unified: { "memory.high": "1" } }))),
    /unified/,
  );
});

test("a root file system of several mounts: the last one of the root counts, those after it go into its folders", () => {
  const bind = (source: string, target?: string) => ({
    type: "bind",
    source,
    options: ["rbind"],
    ...(target === undefined ? {} : { target }),
  });
  const rootMounts = [bind("/hidden"), bind("/below", "/x"), bind("/root"), bind("/data", "data/own")];
  const { setup, child } = compileContainer(input(undefined, { rootMounts })).sections;
  const words = [...setup, ...child].map((op) => op.words);
  assert.ok(!words.some((w) => /hidden|below/.test(w)), "what is covered is not mounted");
  const at = (text: string) => words.findIndex((w) => w.includes(text));
  assert.ok(at("take /root as the root") >= 0);
  assert.ok(at("find or make /data/own") < at("mount bind on data/own of the root file system"));
});

test("an overlay root is mounted detached; a long lowerdir list is split, or passed to mount(2) on an old kernel", () => {
  const lower = Array.from({ length: 20 }, (_, i) => `/var/lib/berth/snapshots/${i}/fs`).join(":");
  const rootMounts = [
    { type: "overlay", source: "overlay", options: [`lowerdir=${lower}`, "upperdir=/u", "workdir=/w"] },
  ];
  const modern = compileContainer(input(undefined, { rootMounts, kernelRelease: "6.8.1" }));
  assert.equal(modern.sections.setup.filter((op) => op.args[2] === "lowerdir+").length, 20);
  const old = compileContainer(input(undefined, { rootMounts, kernelRelease: "6.1.0" }));
  assert.ok(find(old, /mount overlay on/));
  assert.ok(!names(old, "setup").includes("fsopen"));
});

test("a container without a cgroup touches none, and its limits are refused by name", () => {
  for (const layout of [HYBRID, V2]) {
    const cgroup = { layout, paths: { path: "", v1: {} }, facts: { cpusets: [], delegate: [] } };
    const devices = [{ allow: false, access: "rwm" }];
    const plan = compileContainer(input((s) => (s.linux!.resources = { devices }), { cgroup }));
    const { setup, enter, attach } = plan.sections;
    const touched = [...setup, ...enter, ...attach].filter((op) => /cgroup|devices/.test(op.words));
    assert.deepEqual([touched, plan.cgroupSlot], [[], -1]);
    assert.throws(
      () => compileContainer(input((s) => (s.linux!.resources = { memory: { limit: 1e6 } }), { cgroup })),
      /linux.resources: memory\S+ needs/,
    );
  }
});

test("exec joins the namespaces that differ from the host's, and no others", () => {
  const base = input();
  const plan = compileExec({
    ...base,
    gate: undefined,
    init: { pid: 77, startTime: 5 },
    namespaces: ["pid", "mount"],
    cgroup: base.cgroup.paths,
    rdt: undefined,
  });
  assert.deepEqual(
    plan.sections.join.map((op) => op.words),
    [
      "join its pid namespace",
      "join its mount namespace",
      "close its pid namespace",
      "close its mount namespace",
    ],
  );
  // No descriptor opened for joining is left open in the new process.
  const slots = (section: SectionName, ...operations: string[]) =>
    plan.sections[section].filter((op) => operations.includes(op.name)).map((op) => op.args[0]);
  const closed = [...slots("setup", "close"), ...slots("join", "close"), ...slots("enter", "close")];
  assert.deepEqual(
    slots("setup", "open", "open_at").filter((slot) => !closed.includes(slot)),
    [],
  );
  assert.deepEqual(find(plan, /still the container's/)!.args, [0, 5]);
  assert.equal(plan.cloneFlags, 0);
});

test("explain prints every operation", () => {
  const text = describePlan(compileContainer(input()));
  assert.match(text, /== clone: new namespaces: mount, uts, ipc, pid, network/);
  assert.match(text, /execute sh/);
  assert.match(text, /-- rootfs/);
});

test("child slots are reused once released", () => {
  const b = new PlanBuilder();
  const first = b.childSlot();
  b.release(first);
  assert.equal(b.childSlot(), first);
});

test("no mounts make the compiler crash, or mount by name inside the root", () => {
  const word = fc.constantFrom(
    "ro",
    "rw",
    "bind",
    "rbind",
    "nosuid",
    "rprivate",
    "size=1k",
    "mode=755",
    "noatime",
    "rro",
    "strictatime",
  );
  const mount = fc.record({
    destination: fc.constantFrom("/a", "/proc", "/dev", "/sys/fs/cgroup", "/../../etc", "/a/../b"),
    type: fc.constantFrom("bind", "tmpfs", "proc", "sysfs", "cgroup", "mqueue", "none", ""),
    source: fc.constantFrom("/etc", "x", "", "proc"),
    options: fc.array(word, { maxLength: 5 }),
  });
  fc.assert(
    fc.property(
      fc.array(mount, { maxLength: 12 }),
      fc.boolean(),
      fc.boolean(),
      (mounts, readonly, noPivot) => {
        let plan: Plan;
        try {
          plan = compileContainer(
            input((s) => Object.assign(s, { mounts, root: { path: "rootfs", readonly } }), { noPivot }),
          );
        } catch (error) {
          assert.equal((error as { name: string }).name, "BerthError");
          return;
        }
        encodePlan(plan);
        const targets = plan.sections.child.filter((op) => op.name === "mount");
        assert.equal(targets.length, 0);
        for (const op of plan.sections.child) {
          for (const arg of op.args)
            if (typeof arg === "number" && op.name !== "rlimit") assert.ok(arg < 2 ** 40);
        }
      },
    ),
    { numRuns: 200 },
  );
});
