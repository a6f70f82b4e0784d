/** docker's restart policies as text: no, always, unless-stopped, on-failure, on-failure:5. */
import { BerthError } from "@berth/base";

/** The names of policies. */
export const RESTART_POLICIES = ["no", "always", "unless-stopped", "on-failure"] as const;

/** When a container is restarted after it has exited. */
export interface RestartPolicy {
  readonly name: (typeof RESTART_POLICIES)[number];
  /** For on-failure: the maximum number of restarts; 0 for no limit. */
  readonly max: number;
}

/** Parses a policy; "invalid_argument" names `field`. */
export function parseRestartPolicy(field: string, text: string): RestartPolicy {
  const [word = "", count, ...rest] = text.split(":");
  const name = RESTART_POLICIES.find((known) => known === word);
  const refuse = (why: string) =>
    new BerthError("invalid_argument", `${field}: invalid restart policy "${text}": ${why}`);
  if (name === undefined || rest.length > 0)
    throw refuse("expected no, always, on-failure[:MAX] or unless-stopped");
  if (count === undefined) return { name, max: 0 };
  if (name !== "on-failure") throw refuse("a maximum retry count can only be used with on-failure");
  if (!/^\d{1,9}$/.test(count)) throw refuse("the maximum retry count must be a whole number");
  return { name, max: Number(count) };
}

/** Formats a policy; undoes {@link parseRestartPolicy}. */
export function restartPolicyText({ name, max }: RestartPolicy): string {
  return max > 0 ? `${name}:${max}` : name;
}
