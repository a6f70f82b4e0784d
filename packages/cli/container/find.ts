/** Finds containers by what people write: a name, an id, or the beginning of an id. */
import { BerthError } from "@berth/base";
import { type BerthClient, type Container, LABEL } from "@berth/client";

/** The container that `text` means; "not_found" when there is none, "invalid_argument" when there are several. */
export async function findContainer(client: BerthClient, text: string): Promise<Container> {
  const filters = [`labels."${LABEL.name}"==${quote(text)}`];
  if (/^[a-zA-Z0-9_.-]+$/.test(text)) filters.push(`id~=${quote(`^${text.replaceAll(".", "\\.")}`)}`);
  const found = await client.containers.list(filters);
  const exact = found.find((c) => nameOf(c) === text) ?? found.find((c) => c.id === text);
  if (exact) return exact;
  if (found.length === 1) return found[0]!;
  if (found.length > 1)
    throw new BerthError("invalid_argument", `several containers have an id that begins with ${text}`, {
      hint: `Write more of it; they are ${found
        .slice(0, 4)
        .map((c) => c.id.slice(0, 16))
        .join(", ")}.`,
    });
  throw new BerthError("not_found", `no such container: ${text}`, {
    hint: "`berth ps -a` lists the containers of this namespace.",
  });
}

/** A container's name, or the short form of its id when it has none. */
export function nameOf(container: Container): string {
  return container.labels[LABEL.name] ?? container.id.slice(0, 12);
}

/** Fails with "already_exists" when a name is taken. */
export async function checkNameFree(client: BerthClient, name: string): Promise<void> {
  const [holder] = await client.containers.list([`labels."${LABEL.name}"==${quote(name)}`]);
  if (holder)
    throw new BerthError(
      "already_exists",
      `name "${name}" is already taken by container ${holder.id.slice(0, 12)}`,
      {
        hint: `Remove that one (berth rm ${name}) or choose another --name.`,
      },
    );
}

/** A value for containerd's filter language. */
export function quote(value: string): string {
  return JSON.stringify(value);
}
