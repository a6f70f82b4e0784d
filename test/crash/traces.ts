/** Everything that a daemon could leave behind, as comparable lines: read from the machine, not from berth. */
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** Where to look. */
export interface Ground {
  /** Contains `root`, `state` and `tmp`. */
  folder: string;
  /** containerd's namespace, which names the cgroups. */
  namespace: string;
  /** The subreaper that adopts all orphans. */
  reaper: number;
  /** Expected processes below it: the daemon. */
  known: readonly number[];
}

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
};

/** Replaces numbers and names that differ each time. */
const plain = (text: string): string =>
  text
    .replace(/[0-9a-f]{64}/g, "ID")
    .replace(/extract-\d+-[0-9a-f]+/g, "extract")
    .replace(/\b[0-9a-z]+-[0-9a-z]+-[0-9a-z]+(?=\.(sock|exit))/g, "TOKEN")
    .replace(/\d+/g, "N");

/** Names in a folder; none if it disappears meanwhile. */
function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function files(folder: string, below: string, found: string[]): void {
  for (const name of names(folder)) {
    const path = join(folder, name);
    const line = relative(below, path);
    // The size of SQLite's log and the numbers of the event log do not matter.
    if (/^root\/metadata\.db/.test(line) || /^state\/events\//.test(line)) continue;
    const info = lstatSync(path, { throwIfNoEntry: false });
    if (info === undefined) continue;
    found.push(`file ${plain(line)}${info.isSocket() ? "=" : info.isFIFO() ? "|" : ""}`);
    if (info.isDirectory() && !/\/snapshots\/[^/]+\/\d+\/fs$/.test(path)) files(path, below, found);
  }
}

/** A running daemon has the database locked: read a copy. */
function rows(database: string): string[] {
  if (!existsSync(database)) return [];
  const folder = mkdtempSync(join(tmpdir(), "berth-rows-"));
  try {
    const copy = join(folder, "metadata.db");
    copyFileSync(database, copy);
    if (existsSync(`${database}-wal`)) copyFileSync(`${database}-wal`, `${copy}-wal`);
    return rowsOf(copy);
  } catch (error) {
    // It was written meanwhile: the caller compares again.
    return [`unreadable: ${error}`];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function rowsOf(path: string): string[] {
  const db = new DatabaseSync(path);
  try {
    return [
      ...db.prepare("SELECT 'image ' || name AS line FROM images").all(),
      ...db.prepare("SELECT 'container ' || id AS line FROM containers").all(),
      ...db.prepare("SELECT 'content ' || digest || ' ' || labels AS line FROM content").all(),
      ...db.prepare("SELECT 'ingest ' || ref AS line FROM ingests").all(),
      ...db
        .prepare("SELECT 'snapshot ' || name || ' on ' || parent || ' ' || kind AS line FROM snapshots")
        .all(),
      ...db.prepare("SELECT 'lease ' || id AS line FROM leases").all(),
      ...db.prepare("SELECT 'leased ' || type || ' ' || id AS line FROM lease_resources").all(),
    ].map((row) =>
      String(row.line)
        .replace(/extract-\d+-[0-9a-f]+/, "extract")
        .replace(/(?<!sha256:)\b[0-9a-f]{64}/g, "ID"),
    );
  } finally {
    db.close();
  }
}

/** cgroups of the namespace, in every hierarchy. */
function cgroups(namespace: string): string[] {
  const found: string[] = [];
  const look = (folder: string) => {
    for (const name of names(folder)) {
      if (!lstatSync(join(folder, name), { throwIfNoEntry: false })?.isDirectory()) continue;
      found.push(`cgroup ${plain(join(folder, name))}`);
      look(join(folder, name));
    }
  };
  for (const name of ["", ...readdirSync("/sys/fs/cgroup")]) look(join("/sys/fs/cgroup", name, namespace));
  return found;
}

/** Every process below the reaper, except the known ones. */
export function processes({ reaper, known }: Pick<Ground, "reaper" | "known">): number[] {
  const children = new Map<number, number[]>();
  for (const pid of readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)) {
    const status = read(`/proc/${pid}/status`);
    if (/^State:\s*Z/m.test(status)) continue;
    const parent = Number(/^PPid:\s*(\d+)/m.exec(status)?.[1] ?? -1);
    children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const found: number[] = [];
  const todo = [reaper];
  for (let pid = todo.pop(); pid !== undefined; pid = todo.pop())
    for (const child of children.get(pid) ?? []) {
      todo.push(child);
      if (!known.includes(child)) found.push(child);
    }
  return found;
}

function namespaceOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return "";
  }
}

/** The lines, sorted. */
export function traces(ground: Ground): string[] {
  const { folder, namespace } = ground;
  const pids = processes(ground);
  const found = [
    ...read("/proc/self/mountinfo")
      .split("\n")
      .filter((line) => line.includes(folder))
      .map((line) => `mount ${line}`),
    ...cgroups(namespace),
    ...pids.map((pid) => `process ${plain(read(`/proc/${pid}/cmdline`).replaceAll("\0", " ")).slice(0, 60)}`),
    ...[...new Set(pids.map(namespaceOf).filter((ns) => ns !== ""))].map(() => "network namespace"),
    ...rows(join(folder, "root/metadata.db")),
  ];
  for (const sub of ["root", "state", "tmp"]) files(join(folder, sub), folder, found);
  return found.sort();
}

/** Added and removed lines, for an error message; empty if there are none. */
export function difference(before: readonly string[], after: readonly string[]): string[] {
  const count = (lines: readonly string[]) => {
    const counts = new Map<string, number>();
    for (const line of lines) counts.set(line, (counts.get(line) ?? 0) + 1);
    return counts;
  };
  const [was, is] = [count(before), count(after)];
  return [...new Set([...was.keys(), ...is.keys()])].flatMap((line) => {
    const more = (is.get(line) ?? 0) - (was.get(line) ?? 0);
    return more === 0
      ? []
      : [`${more > 0 ? "left over" : "lost"}: ${line}${Math.abs(more) > 1 ? ` (${Math.abs(more)})` : ""}`];
  });
}
