/** Paths of the checkout and its binaries. */
import { join } from "node:path";

export const ROOT = join(import.meta.dirname, "../..");
/** The binaries under test; BERTH_TEST_BIN names another folder. */
export const BIN = process.env.BERTH_TEST_BIN ?? join(ROOT, "bin");
