/** The schema of config.json as one table: every Linux field of the specification, with its type. */
import { NAMESPACE_TYPES } from "../runtime/linux.ts";
import { RLIMITS } from "../runtime/names.ts";
import {
  SECCOMP_ACTIONS,
  SECCOMP_ARCHITECTURES,
  SECCOMP_FLAGS,
  SECCOMP_OPERATORS,
} from "../runtime/seccomp.ts";
import { HOOK_NAMES } from "../runtime/spec.ts";
import {
  absolute,
  bool,
  type Check,
  i32,
  i64,
  integer,
  list,
  map,
  name,
  object,
  pattern,
  string,
  u16,
  u32,
  u64,
  word,
} from "./check.ts";

const strings = list(string);
const words = (prefix: string, rest: string) => word(rest.split(" ").map((w) => prefix + w));

const idMappings = list(
  object({ containerID: u32, hostID: u32, size: u32 }, ["containerID", "hostID", "size"]),
);

// Unknown names only get a warning, as in runc: see checkProcessRules.
const capabilities = list(string);

const environment = list(pattern(/^[^=\0][^\0]*$/s, '"NAME=value" without NUL bytes'));

/** The `process` object. */
export const processCheck: Check = object(
  {
    terminal: bool,
    consoleSize: object({ height: u16, width: u16 }, ["height", "width"]),
    user: object({ uid: u32, gid: u32, umask: u32, additionalGids: list(u32), username: string }),
    args: strings,
    env: environment,
    cwd: absolute,
    capabilities: object({
      bounding: capabilities,
      effective: capabilities,
      inheritable: capabilities,
      permitted: capabilities,
      ambient: capabilities,
    }),
    rlimits: list(object({ type: word(RLIMITS), hard: u64, soft: u64 }, ["type", "hard", "soft"])),
    noNewPrivileges: bool,
    apparmorProfile: string,
    oomScoreAdj: integer(-1000, 1000),
    selinuxLabel: string,
    scheduler: object(
      {
        policy: words("SCHED_", "OTHER FIFO RR BATCH ISO IDLE DEADLINE"),
        nice: integer(-20, 19),
        priority: i32,
        flags: list(
          words(
            "SCHED_FLAG_",
            "RESET_ON_FORK RECLAIM DL_OVERRUN KEEP_POLICY KEEP_PARAMS UTIL_CLAMP_MIN UTIL_CLAMP_MAX",
          ),
        ),
        runtime: u64,
        deadline: u64,
        period: u64,
      },
      ["policy"],
    ),
    ioPriority: object({ class: words("IOPRIO_CLASS_", "RT BE IDLE"), priority: integer(0, 7) }, ["class"]),
    execCPUAffinity: object({ initial: string, final: string }),
  },
  ["cwd"],
);

const hook = object({ path: absolute, args: strings, env: environment, timeout: integer(1, 2147483647) }, [
  "path",
]);

const blockDevice = { major: i64, minor: i64 };
const weights = list(object({ ...blockDevice, weight: u16, leafWeight: u16 }, ["major", "minor"]));
const throttles = list(object({ ...blockDevice, rate: u64 }, ["major", "minor", "rate"]));

/** linux.resources, also validated alone for `update`. */
export const resourcesCheck: Check = object({
  devices: list(
    object(
      {
        allow: bool,
        type: pattern(/^[acb]?$/, 'one of "a", "c", "b"'),
        major: i64,
        minor: i64,
        // "a" for all is not in the specification, but bundles use it: runc accepts it.
        access: pattern(/^[rwma]*$/, 'letters of "rwm"'),
      },
      ["allow"],
    ),
  ),
  memory: object({
    limit: i64,
    reservation: i64,
    swap: i64,
    kernel: i64,
    kernelTCP: i64,
    swappiness: u64,
    disableOOMKiller: bool,
    useHierarchy: bool,
    checkBeforeUpdate: bool,
  }),
  cpu: object({
    shares: u64,
    quota: i64,
    burst: u64,
    period: u64,
    realtimeRuntime: i64,
    realtimePeriod: u64,
    cpus: string,
    mems: string,
    idle: i64,
  }),
  pids: object({ limit: i64 }),
  blockIO: object({
    weight: u16,
    leafWeight: u16,
    weightDevice: weights,
    throttleReadBpsDevice: throttles,
    throttleWriteBpsDevice: throttles,
    throttleReadIOPSDevice: throttles,
    throttleWriteIOPSDevice: throttles,
  }),
  hugepageLimits: list(
    object({ pageSize: pattern(/^[1-9][0-9]*[KMG]B$/, 'a size as "2MB"'), limit: u64 }, [
      "pageSize",
      "limit",
    ]),
  ),
  network: object({
    classID: u32,
    priorities: list(object({ name: name, priority: u32 }, ["name", "priority"])),
  }),
  rdma: map(object({ hcaHandles: u32, hcaObjects: u32 })),
  unified: map(string),
});

const seccomp = object(
  {
    defaultAction: word(SECCOMP_ACTIONS),
    defaultErrnoRet: u32,
    architectures: list(word(SECCOMP_ARCHITECTURES)),
    flags: list(word(SECCOMP_FLAGS)),
    listenerPath: string,
    listenerMetadata: string,
    syscalls: list(
      object(
        {
          names: list(name),
          action: word(SECCOMP_ACTIONS),
          errnoRet: u32,
          args: list(
            object({ index: integer(0, 5), value: u64, valueTwo: u64, op: word(SECCOMP_OPERATORS) }, [
              "index",
              "value",
              "op",
            ]),
          ),
        },
        ["names", "action"],
      ),
    ),
  },
  ["defaultAction"],
);

const linux = object({
  uidMappings: idMappings,
  gidMappings: idMappings,
  sysctl: map(string),
  resources: resourcesCheck,
  cgroupsPath: string,
  namespaces: list(
    object({ type: word(NAMESPACE_TYPES), path: pattern(/^(\/[^\0]*)?$/, "an absolute path") }, ["type"]),
  ),
  devices: list(
    object(
      {
        path: absolute,
        type: pattern(/^[cubp]$/, 'one of "c", "u", "b", "p"'),
        major: i64,
        minor: i64,
        fileMode: u32,
        uid: u32,
        gid: u32,
      },
      ["path", "type"],
    ),
  ),
  netDevices: map(object({ name: string })),
  seccomp,
  rootfsPropagation: pattern(
    /^(r?(private|shared|slave|unbindable))?$/,
    "private, shared, slave or unbindable",
  ),
  maskedPaths: list(absolute),
  readonlyPaths: list(absolute),
  mountLabel: string,
  intelRdt: object({
    closID: string,
    schemata: strings,
    l3CacheSchema: string,
    memBwSchema: string,
    enableMonitoring: bool,
  }),
  memoryPolicy: object({ mode: string, nodes: string, flags: strings }),
  personality: object({ domain: word(["LINUX", "LINUX32"]), flags: strings }, ["domain"]),
  timeOffsets: map(object({ secs: i64, nanosecs: integer(0, 999_999_999) })),
});

/** The list of mounts. */
export const mountsCheck: Check = list(
  object(
    {
      destination: name,
      type: string,
      source: string,
      options: strings,
      uidMappings: idMappings,
      gidMappings: idMappings,
    },
    ["destination"],
  ),
);

/** The whole document. */
export const specCheck: Check = object(
  {
    ociVersion: string,
    process: processCheck,
    root: object({ path: name, readonly: bool }, ["path"]),
    hostname: string,
    domainname: string,
    mounts: mountsCheck,
    hooks: object(Object.fromEntries(HOOK_NAMES.map((key) => [key, list(hook)]))),
    annotations: map(string),
    linux,
  },
  ["ociVersion"],
);
