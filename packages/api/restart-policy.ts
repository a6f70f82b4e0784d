/** docker's restart policies, as they are written: no, always, unless-stopped, on-failure, on-failure:5. */
import { BerthError } from "@berth/base";

const NAMES = ["no", "always", "unless-stopped", "on-failure"] as const;

/** When a container is started again after it has ended. */
export interface RestartPolicy {
  readonly name: (typeof NAMES)[number];
  /** Of on-failure: give up after so many restarts; 0 for never. */
  readonly max: number;
}

/** Reads a policy; "invalid_argument" names `field`. */
export function parseRestartPolicy(field: string, text: string): RestartPolicy {
  const [word = "", count, ...rest] = text.split(":");
  const name = NAMES.find((known) => known === word);
  const refuse = (why: string) =>
    new BerthError("invalid_argument", `${field}: invalid restart policy "${text}": ${why}`);
  if (name === undefined || rest.length > 0)
    throw refuse("expected no, always, on-failure[:MAX] or unless-stopped");
  if (count === undefined) return { name, max: 0 };
  if (name !== "on-failure") throw refuse("a maximum retry count can only be used with on-failure");
  if (!/^\d{1,9}$/.test(count)) throw refuse("the maximum retry count must be a whole number");
  return { name, max: Number(count) };
}

/** The policy as {@link parseRestartPolicy} reads it. */
export function restartPolicyText({ name, max }: RestartPolicy): string {
  return max > 0 ? `${name}:${max}` : name;
}
