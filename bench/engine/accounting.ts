/** The cost of processes: CPU through a cgroup, memory from /proc. */
import { existsSync, globSync, mkdirSync, readFileSync, rmdirSync } from "node:fs";

const VERSION_1 = "/sys/fs/cgroup/cpuacct";
const VERSION_2 = "/sys/fs/cgroup";

/**
 * A cgroup in which a daemon is started: shims, keepers and runtimes are its children and stay there, the containers'
 * processes move to their own.
 */
export class CpuAccount {
  readonly #folder: string;
  readonly #old = existsSync(VERSION_1);

  constructor(name: string) {
    this.#folder = `${this.#old ? VERSION_1 : VERSION_2}/${name}`;
    mkdirSync(this.#folder, { recursive: true });
  }

  /** File to which a process writes its pid, or "0", to enter. */
  get door(): string {
    return `${this.#folder}/cgroup.procs`;
  }

  /** CPU time used since the cgroup was created, in milliseconds. */
  usage(): number {
    if (this.#old) return Number(readFileSync(`${this.#folder}/cpuacct.usage`, "utf8")) / 1e6;
    const text = readFileSync(`${this.#folder}/cpu.stat`, "utf8");
    return Number(/^usage_usec (\d+)/m.exec(text)![1]) / 1000;
  }

  remove(): void {
    removeCgroup(this.#folder);
  }
}

function removeCgroup(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // Something still runs in it: leftovers are reported elsewhere.
  }
}

/** Removes the empty parents of containers' cgroups. */
export function removeParents(name: string): void {
  for (const folder of globSync(`/sys/fs/cgroup/{*,.}/${name}`)) removeCgroup(folder);
}

/** A line of /proc/PID/smaps_rollup or status, in kB; 0 if the process has exited. */
export function kilobytes(pid: number | string, file: "smaps_rollup" | "status", field: string): number {
  try {
    const text = readFileSync(`/proc/${pid}/${file}`, "utf8");
    return Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** Pids of processes whose command line contains the text. */
export function processesWith(text: string): string[] {
  return globSync("/proc/[0-9]*/cmdline").flatMap((path) => {
    try {
      return readFileSync(path, "utf8").includes(text) ? [path.split("/")[2]!] : [];
    } catch {
      return [];
    }
  });
}
