/** Which berth this is. */

export const VERSION = "0.1.0";
/** The commit it was built from; set by the build. */
export const COMMIT = process.env.BERTH_COMMIT ?? "unknown";
