/**
 * The part of Go's template language that people use with --format: fields, json, upper, lower, join, len, index,
 * range, if and else. An unknown field or function is an error that names it.
 */
import { usageError } from "../flags.ts";

type Node =
  | { kind: "text"; text: string }
  | { kind: "value"; pipe: string }
  | { kind: "range" | "if"; pipe: string; body: Node[]; elseBody: Node[] };

interface Scope {
  dot: unknown;
  root: unknown;
}

/** A parsed template: renders a value. */
export type Template = (value: unknown) => string;

/** Parses a template; throws a usage error for an invalid one. */
export function parseTemplate(text: string): Template {
  const tokens = text
    .replaceAll("\\t", "\t")
    .replaceAll("\\n", "\n")
    .split(/(\{\{-?.*?-?\}\})/s)
    .filter((part) => part !== "");
  let at = 0;
  const block = (inside: boolean): { nodes: Node[]; end: string } => {
    const nodes: Node[] = [];
    while (at < tokens.length) {
      const token = tokens[at++]!;
      if (!token.startsWith("{{")) {
        nodes.push({ kind: "text", text: token });
        continue;
      }
      const action = token.replace(/^\{\{-?\s*|\s*-?\}\}$/g, "");
      const [word = "", ...rest] = action.split(/\s+/);
      if (word === "end" || word === "else") {
        if (!inside) throw usageError(`--format: {{${word}}} without {{if}} or {{range}}`);
        return { nodes, end: word };
      }
      if (word === "range" || word === "if") {
        const body = block(true);
        const elseBody = body.end === "else" ? block(true).nodes : [];
        nodes.push({ kind: word, pipe: rest.join(" "), body: body.nodes, elseBody });
      } else nodes.push({ kind: "value", pipe: action });
    }
    if (inside) throw usageError("--format: {{end}} is missing");
    return { nodes, end: "" };
  };
  const { nodes } = block(false);
  if (text.includes("{{") && !text.includes("}}"))
    throw usageError(`--format: found ${text}, expected }} after {{`);
  return (value) => render(nodes, { dot: value, root: value });
}

function render(nodes: readonly Node[], scope: Scope): string {
  return nodes.map((node) => renderNode(node, scope)).join("");
}

function renderNode(node: Node, scope: Scope): string {
  if (node.kind === "text") return node.text;
  const value = evaluate(node.pipe, scope);
  if (node.kind === "value") return show(value);
  if (node.kind === "if") return render(isTrue(value) ? node.body : node.elseBody, scope);
  const items = Array.isArray(value) ? value : typeof value === "object" && value ? Object.values(value) : [];
  if (items.length === 0) return render(node.elseBody, scope);
  return items.map((dot) => render(node.body, { ...scope, dot })).join("");
}

function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

/** A value as Go would print it. */
function show(value: unknown): string {
  if (value === undefined || value === null) return "<no value>";
  if (Array.isArray(value)) return `[${value.map(show).join(" ")}]`;
  if (typeof value !== "object") return String(value);
  return `map[${Object.entries(value)
    .map(([key, v]) => `${key}:${show(v)}`)
    .join(" ")}]`;
}

function evaluate(pipe: string, scope: Scope): unknown {
  let result: unknown;
  splitOutside(pipe, "|").forEach((stage, i) => {
    const words = splitOutside(stage.trim(), " ").filter((word) => word !== "");
    result = call(words, scope, i === 0 ? [] : [result]);
  });
  return result;
}

// Splits at a character outside quotes and parentheses.
function splitOutside(text: string, separator: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let quoted = "";
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const letter = text[i]!;
    if (quoted) quoted = letter === quoted ? "" : quoted;
    else if (letter === '"' || letter === "`") quoted = letter;
    else if (letter === "(") depth++;
    else if (letter === ")") depth--;
    else if (letter === separator && depth === 0) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  return [...parts, text.slice(start)];
}

const FUNCTIONS: Record<string, (...args: unknown[]) => unknown> = {
  json: (value) => JSON.stringify(value, (_key, v) => (typeof v === "bigint" ? Number(v) : v)),
  upper: (value) => String(value).toUpperCase(),
  lower: (value) => String(value).toLowerCase(),
  title: (value) => String(value).replace(/\b[a-z]/g, (letter) => letter.toUpperCase()),
  join: (values, between) => (Array.isArray(values) ? values.join(String(between)) : String(values)),
  split: (value, between) => String(value).split(String(between)),
  len: (value) =>
    typeof value === "string" || Array.isArray(value) ? value.length : Object.keys(value ?? {}).length,
  index: (value, ...keys) =>
    keys.reduce((found: unknown, key) => (found as Record<string, unknown>)?.[key as string], value),
  println: (...values) => `${values.map(show).join(" ")}\n`,
  not: (value) => !isTrue(value),
  eq: (a, b) => String(a) === String(b),
  ne: (a, b) => String(a) !== String(b),
};

function call(words: readonly string[], scope: Scope, piped: readonly unknown[]): unknown {
  const [head = "", ...rest] = words;
  const operand = operandOf(head, scope);
  if (operand !== undefined) return operand.value;
  const name = FUNCTIONS[head];
  if (!name) throw usageError(`--format: unknown function or field "${head}" (fields begin with a dot)`);
  const args = rest.map((word) => {
    const value = operandOf(word, scope);
    if (!value) throw usageError(`--format: cannot understand "${word}"`);
    return value.value;
  });
  return name(...args, ...piped);
}

function operandOf(word: string, scope: Scope): { value: unknown } | undefined {
  if (word === ".") return { value: scope.dot };
  if (word === "$") return { value: scope.root };
  if (word.startsWith("(") && word.endsWith(")")) return { value: evaluate(word.slice(1, -1), scope) };
  if (/^"(.*)"$|^`(.*)`$/s.test(word)) return { value: word.slice(1, -1) };
  if (/^-?\d+$/.test(word)) return { value: Number(word) };
  if (word === "true" || word === "false") return { value: word === "true" };
  if (/^\$?\.[\w.-]+$/.test(word)) {
    const from = word.startsWith("$") ? scope.root : scope.dot;
    return { value: field(from, word.replace(/^\$?\./, "").split(".")) };
  }
  return undefined;
}

function field(from: unknown, path: readonly string[]): unknown {
  let value = from;
  for (const key of path) {
    if (typeof value !== "object" || value === null) return undefined;
    if (!(key in value)) throw usageError(`--format: there is no field .${key}; there are ${namesOf(value)}`);
    value = (value as Record<string, unknown>)[key];
  }
  return value;
}

const namesOf = (value: object): string =>
  Object.keys(value)
    .map((key) => `.${key}`)
    .join(", ");
