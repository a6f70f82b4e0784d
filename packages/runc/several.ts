/** Verbs that take a regular expression in place of an id. */
import { BerthError } from "@berth/base";
import type { Runtime } from "@berth/runtime";
import { list } from "@berth/runtime";

/** The id itself or, with `regex`, the ids of all containers that it matches. */
export function idsOf(runtime: Runtime, text: string, regex: boolean): string[] {
  if (!regex) return [text];
  let form: RegExp;
  try {
    form = new RegExp(text);
  } catch (cause) {
    throw new BerthError("invalid_argument", `--regex: ${(cause as Error).message}`, {
      stage: "flags",
      cause,
    });
  }
  return list(runtime)
    .map((c) => c.record.id)
    .filter((id) => form.test(id));
}

/** Acts on each id, continuing after a failure: the first error is thrown at the end. */
export async function forEach(ids: readonly string[], act: (id: string) => Promise<void>): Promise<void> {
  let failed: unknown;
  for (const id of ids) await act(id).catch((error: unknown) => (failed ??= error));
  if (failed !== undefined) throw failed;
}
