/** Mounts that refer to earlier ones: containerd's type "format/...", with Go's template syntax for four functions. */
import type { types } from "@berth/api";
import { BerthError } from "@berth/base";

const ACTION = /\{\{(.*?)\}\}/g;

/** Fills in the templates of a mount's source, target and options; `where` names the mount in errors. */
export function formatMount(
  mount: types.Mount,
  active: readonly types.ActiveMount[],
  where: string,
): types.Mount {
  const fill = (text: string, field: string) =>
    text.replace(ACTION, (_, action: string) => expand(action, active, `${where}.${field}`));
  return {
    ...mount,
    source: fill(mount.source, "source"),
    target: fill(mount.target, "target"),
    options: mount.options.map((option, i) => fill(option, `options[${i}]`)),
  };
}

/** What one action stands for: `source 0`, `target 0`, `mount 0`, or `overlay 0 2` (mount points, joined by colons). */
function expand(action: string, active: readonly types.ActiveMount[], field: string): string {
  const refuse = (why: string) => new BerthError("invalid_argument", `${field}: ${why}: invalid argument`);
  const [name = "", ...args] = action.trim().split(/\s+/);
  const wanted = name === "overlay" ? 2 : 1;
  if (!["source", "target", "mount", "overlay"].includes(name))
    throw refuse(`found the function ${JSON.stringify(name)}, expected source, target, mount or overlay`);
  if (args.length !== wanted || !args.every((arg) => /^\d{1,3}$/.test(arg)))
    throw refuse(
      `found ${JSON.stringify(action.trim())}, expected ${name} and ${wanted} index${wanted > 1 ? "es" : ""}`,
    );
  const at = (index: number): types.ActiveMount => {
    const found = active[index];
    if (found === undefined)
      throw refuse(`found index ${index}, expected one of the ${active.length} mounts before it`);
    return found;
  };
  const [from, to = from] = args.map(Number) as [number, number?];
  if (name === "source") return at(from).mount!.source;
  if (name === "target") return at(from).mount!.target;
  const step = from <= to ? 1 : -1;
  const points: string[] = [];
  for (let i = from; i !== to + step; i += step) points.push(at(i).mountPoint);
  return points.join(":");
}
