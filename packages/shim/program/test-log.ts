/** For tests of what configures the log, which is the whole process's. */
import type { TestContext } from "node:test";
import { configureLog } from "@berth/base";

/** Gives the tests that follow their log back. */
export function restoreLog(t: TestContext): void {
  t.after(() =>
    configureLog({
      render: undefined,
      level: "info",
      write: (line) => process.getBuiltinModule("node:fs").writeSync(2, line),
    }),
  );
}
