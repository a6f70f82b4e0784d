import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { LABEL } from "@berth/api";
import { removeLog } from "./log-file.ts";

test("a log is removed with its rotated files and folder, but nothing outside the logs' folder", () => {
  const root = mkdtempSync(join(tmpdir(), "berth-log-"));
  const logs = join(root, "logs");
  try {
    for (const name of ["a", "b"]) mkdirSync(join(logs, "ns", name), { recursive: true });
    for (const file of ["a/c.log", "a/c.log.1", "b/c.log", "b/mine"])
      writeFileSync(join(logs, "ns", file), "");
    writeFileSync(join(root, "c.log"), "");
    removeLog(logs, "ns", { id: "x", labels: { [LABEL.logPath]: join(logs, "ns/a/c.log") } });
    assert.equal(existsSync(join(logs, "ns/a")), false);
    removeLog(logs, "ns", { id: "x", labels: { [LABEL.logPath]: join(logs, "ns/b/c.log") } });
    assert.equal(existsSync(join(logs, "ns/b/c.log")), false);
    assert.equal(existsSync(join(logs, "ns/b/mine")), true);
    removeLog(logs, "ns", { id: "x", labels: { [LABEL.logPath]: join(root, "c.log") } });
    removeLog(logs, "ns", { id: "x", labels: { [LABEL.logPath]: `${logs}/../c.log` } });
    removeLog(logs, "ns", { id: "x", labels: { [LABEL.logPath]: join(logs, "ns/ghost/c.log") } });
    removeLog(logs, "ns", { id: "x", labels: {} });
    assert.equal(existsSync(join(root, "c.log")), true);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
