/** The full examination: the host, the leaks, and with `fix` their removal. */
import { BerthError, log } from "@berth/base";
import { cgroupLeaks } from "./cgroups.ts";
import { clientLeaks } from "./clients.ts";
import type { Check, Instance, Leak } from "./finding.ts";
import { hostChecks } from "./host.ts";
import { mountLeaks } from "./mounts.ts";
import { storageLeaks } from "./storage.ts";
import { taskLeaks } from "./tasks.ts";

/** Resources that are being created or removed look like leaks for less than this, in milliseconds. */
const TRANSIENT_MS = 700;
/** A fix may uncover another leak: a killed keeper leaves its exit record. */
const ROUNDS = 3;

/** A leak, and the result of its removal. */
export interface Finding extends Leak {
  fixed: boolean;
  /** Why its removal failed; "" otherwise. */
  error: string;
}

/** Result of an examination. */
export interface Examination {
  host: Check[];
  findings: Finding[];
}

const nameOf = ({ kind, where }: Leak): string => `${kind} ${where}`;

// In the order of removal: unmount before removing files.
const look = (instance: Instance): Leak[] => [
  ...mountLeaks(instance),
  ...taskLeaks(instance),
  ...cgroupLeaks(instance),
  ...storageLeaks(instance),
  ...clientLeaks(instance),
];

/** Leaks that were found twice, with a pause in between. */
async function lasting(instance: Instance): Promise<Leak[]> {
  const first = new Set(look(instance).map(nameOf));
  if (first.size === 0) return [];
  await instance.sys.sleep(TRANSIENT_MS);
  return look(instance).filter((leak) => first.has(nameOf(leak)));
}

/** Examines, and with `fix` removes leaks and nothing else. */
export async function examine(instance: Instance, fix: boolean): Promise<Examination> {
  const findings = new Map<string, Finding>();
  for (let round = 0; round < (fix ? ROUNDS : 1); round++) {
    const leaks = await lasting(instance);
    for (const leak of leaks) findings.set(nameOf(leak), { ...leak, fixed: false, error: "" });
    if (!fix || leaks.length === 0) break;
    for (const leak of leaks) findings.set(nameOf(leak), await repair(leak));
  }
  return { host: hostChecks(instance), findings: [...findings.values()] };
}

async function repair(leak: Leak): Promise<Finding> {
  if (leak.apply === undefined) return { ...leak, fixed: false, error: "" };
  log.info("doctor: removing what is left over", { kind: leak.kind, where: leak.where, why: leak.why });
  try {
    await leak.apply();
    return { ...leak, fixed: true, error: "" };
  } catch (error) {
    return { ...leak, fixed: false, error: BerthError.from(error).message };
  }
}
