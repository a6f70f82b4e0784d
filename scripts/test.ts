/**
 * Runs all tests: units (no root, in parallel), the same on Bun where it can run them, then those that need root and
 * real peers, one file at a time. Ends with "N passed, N failed, N skipped" of the real results.
 *
 *     scripts/test.ts [-t NAME] [--watch] [PART OF A PATH...]
 *
 * -t runs only the tests whose name matches; --watch runs the unit tests again whenever a file changes.
 */
import { spawnSync } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const { values: flags, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: { name: { type: "string", short: "t" }, watch: { type: "boolean", default: false } },
});
const named = flags.name === undefined ? [] : [`--test-name-pattern=${flags.name}`];
const scratch = mkdtempSync(join(tmpdir(), "berth-test-"));
const total: Counts = { passed: 0, failed: 0, skipped: 0 };
const failures: string[] = [];

/** One run of node's test runner; its counts come from a reporter that writes them to a file. */
function run(title: string, files: readonly string[], options: readonly string[]): void {
  console.log(`\n# ${title}`);
  const counts = join(scratch, "counts");
  rmSync(counts, { force: true });
  const result = spawnSync(
    process.execPath,
    [
      "--disable-warning=ExperimentalWarning",
      "--test",
      ...named,
      "--test-reporter=dot",
      "--test-reporter-destination=stdout",
      "--test-reporter=./scripts/count-reporter.ts",
      `--test-reporter-destination=${counts}`,
      ...options,
      ...files,
    ],
    { stdio: "inherit", timeout: 20 * 60_000 },
  );
  let read: (Counts & { failures: string[] }) | undefined;
  try {
    read = JSON.parse(readFileSync(counts, "utf8"));
  } catch {
    read = undefined;
  }
  if (read === undefined || (result.status !== 0 && read.failed === 0)) {
    total.failed++;
    failures.push(`${title}: the runner itself failed (${result.signal ?? `exit ${result.status}`})`);
  }
  if (read === undefined) return;
  total.passed += read.passed;
  total.failed += read.failed;
  total.skipped += read.skipped;
  failures.push(...read.failures);
}

/** `bun test` on the same files; it prints "N pass", "N fail". */
function runOnBun(files: readonly string[]): void {
  console.log("\n# units, on Bun");
  const result = spawnSync(
    "node_modules/.bin/bun",
    [
      "test",
      "--timeout",
      "30000",
      ...(flags.name === undefined ? [] : ["-t", flags.name]),
      ...files.map((f) => `./${f}`),
    ],
    { encoding: "utf8", timeout: 10 * 60_000 },
  );
  const output = result.stdout + result.stderr;
  const count = (word: string) => Number(new RegExp(`^\\s*(\\d+) ${word}`, "m").exec(output)?.[1] ?? 0);
  total.passed += count("pass");
  total.skipped += count("skip");
  const failed = count("fail") || (result.status === 0 ? 0 : 1);
  total.failed += failed;
  console.log(`${count("pass")} passed, ${failed} failed`);
  if (failed > 0) {
    failures.push("units on Bun");
    console.log(
      output
        .split("\n")
        .filter((l) => !l.includes("(pass)"))
        .slice(-120)
        .join("\n"),
    );
  }
}

const chosen = (files: string[]) =>
  files.sort().filter((f) => wanted.length === 0 || wanted.some((w) => f.includes(w)));
const units = chosen(
  globSync("packages/**/*.test.ts", { exclude: (name) => String(name).includes("node_modules") }),
);
const rooted = chosen(globSync("test/**/*.test.ts"));
// berthd runs on Node alone: its database is node:sqlite, and its server must not meet Bun's HTTP/2 (see ARCHITECTURE.md).
const portable = units.filter((f) => !f.startsWith("packages/engine/"));

if (flags.watch) {
  const { status } = spawnSync(process.execPath, ["--test", "--watch", ...named, ...units], {
    stdio: "inherit",
  });
  process.exit(status ?? 1);
}
if (units.length > 0) run("units", units, ["--test-concurrency=2"]);
if (portable.length > 0) runOnBun(portable);
if (rooted.length > 0) {
  if (process.getuid?.() !== 0) {
    console.log("\n# tests with root: left out, this is not root");
    total.skipped += rooted.length;
  } else run("with root and real peers", rooted, ["--test-concurrency=1"]);
}
rmSync(scratch, { recursive: true, force: true });

for (const failure of failures) console.log(`FAILED ${failure}`);
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
