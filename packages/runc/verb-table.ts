/** All verbs: a module each, loaded on demand. */

export const VERBS: Readonly<Record<string, () => Promise<{ command: unknown }>>> = {
  checkpoint: () => import("./verbs/checkpoint.ts"),
  create: () => import("./verbs/create.ts"),
  delete: () => import("./verbs/delete.ts"),
  events: () => import("./verbs/events.ts"),
  exec: () => import("./verbs/exec.ts"),
  features: () => import("./verbs/features.ts"),
  kill: () => import("./verbs/kill.ts"),
  list: () => import("./verbs/list.ts"),
  mounts: () => import("./verbs/mounts.ts"),
  pause: () => import("./verbs/pause.ts"),
  ps: () => import("./verbs/ps.ts"),
  restore: () => import("./verbs/restore.ts"),
  resume: () => import("./verbs/resume.ts"),
  run: () => import("./verbs/run.ts"),
  spec: () => import("./verbs/spec.ts"),
  start: () => import("./verbs/start.ts"),
  state: () => import("./verbs/state.ts"),
  update: () => import("./verbs/update.ts"),
};
