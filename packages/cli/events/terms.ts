/** Events in docker's terms: type, action, and subject. */

/** An event as `berth events` shows it. */
export interface Shown {
  Sequence: number;
  Time: string;
  Namespace: string;
  Topic: string;
  /** "container", "image", ... */
  Type: string;
  /** "start", "die", ... */
  Action: string;
  ID: string;
  Event: Record<string, unknown>;
}

/** docker's terms by topic; other topics use their first part as type and the rest as action. */
const TERMS: Readonly<Record<string, readonly [type: string, action: string]>> = {
  "/containers/delete": ["container", "destroy"],
  "/tasks/create": ["container", "prepare"],
  "/tasks/start": ["container", "start"],
  "/tasks/exit": ["container", "die"],
  "/tasks/delete": ["container", "cleanup"],
  "/tasks/oom": ["container", "oom"],
  "/tasks/paused": ["container", "pause"],
  "/tasks/resumed": ["container", "unpause"],
  "/tasks/exec-added": ["container", "exec_create"],
  "/tasks/exec-started": ["container", "exec_start"],
  "/tasks/checkpointed": ["container", "checkpoint"],
};

/** Type and action of a topic. */
export function termsOf(topic: string, facts: Readonly<Record<string, unknown>>): [string, string] {
  const [, first = "", ...rest] = topic.split("/");
  const known = TERMS[topic];
  // The exit of an additional process has its own action.
  if (topic === "/tasks/exit" && facts.id !== facts.containerId) return ["container", "exec_die"];
  return known === undefined ? [first.replace(/s$/, ""), rest.join("_")] : [...known];
}

/** The event's subject. */
export function subjectOf(facts: Readonly<Record<string, unknown>>): string {
  return String(facts.containerId ?? facts.id ?? facts.name ?? facts.key ?? "");
}
