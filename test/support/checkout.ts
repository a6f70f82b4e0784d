/** Where the checkout and its programs are. */
import { join } from "node:path";

export const ROOT = join(import.meta.dirname, "../..");
/** The programs under test; BERTH_TEST_BIN names the folder of others. */
export const BIN = process.env.BERTH_TEST_BIN ?? join(ROOT, "bin");
