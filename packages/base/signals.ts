/** Numbers of signals that programs give a meaning of their own; the same on every architecture of Linux. */

export const SIGKILL = 9;
export const SIGTERM = 15;
