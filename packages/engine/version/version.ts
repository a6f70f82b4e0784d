/** Which berth this is. */

/** Version and revision; the build sets BERTH_REVISION to the commit. */
export const VERSION = { version: "0.1.0-berth", revision: process.env.BERTH_REVISION ?? "" } as const;
