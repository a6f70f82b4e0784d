/** For tests of code that configures the log of the process. */
import type { TestContext } from "node:test";
import { configureLog } from "@berth/base";

/** Restores the log after a test. */
export function restoreLog(t: TestContext): void {
  t.after(() =>
    configureLog({
      render: undefined,
      level: "info",
      write: (line) => process.getBuiltinModule("node:fs").writeSync(2, line),
    }),
  );
}
