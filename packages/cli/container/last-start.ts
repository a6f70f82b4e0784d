/** Selects the operations of a container's last start: create and start, and the stop before them in a restart. */

interface Named {
  root: { name: string; facts: Readonly<Record<string, unknown>> };
}

/** A restart is one operation, also when the daemon initiates it. */
const WHOLE = new Set(["containers.Restart", "restart"]);
const isInitStart = ({ root }: Named) =>
  WHOLE.has(root.name) || (root.name === "tasks.Start" && root.facts.exec === undefined);
/** Steps of a client that replace an old task. */
const PRECEDING = new Set(["tasks.Create", "tasks.Delete", "tasks.Kill"]);

/** Selects the operations of the last start or restart from a chronological list. */
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
