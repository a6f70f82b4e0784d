/** Which of a container's operations belong to its last start: the create and start, and what a restart did before. */

interface Named {
  root: { name: string; facts: Readonly<Record<string, unknown>> };
}

/** A restart is one operation, the daemon's own as well. */
const WHOLE = new Set(["containers.Restart", "restart"]);
const isInitStart = ({ root }: Named) =>
  WHOLE.has(root.name) || (root.name === "tasks.Start" && root.facts.exec === undefined);
/** What a client does to an old task on its way to the new one. */
const PRECEDING = new Set(["tasks.Create", "tasks.Delete", "tasks.Kill"]);

/** Cuts the operations of the last start or restart out of a list that is in the order of time. */
export function lastStart<T extends Named>(operations: readonly T[]): T[] {
  const end = operations.findLastIndex(isInitStart);
  let begin = end;
  while (
    begin > 0 &&
    !WHOLE.has(operations[end]!.root.name) &&
    PRECEDING.has(operations[begin - 1]!.root.name)
  )
    begin--;
  return end < 0 ? [] : operations.slice(begin, end + 1);
}
