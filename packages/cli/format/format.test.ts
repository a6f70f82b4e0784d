import assert from "node:assert/strict";
import { test } from "node:test";
import type { Context } from "../command.ts";
import { printRows, tableOf } from "./rows.ts";
import { parseTemplate } from "./template.ts";
import { drawOperation } from "./waterfall.ts";

const value = { Name: "web", Tags: ["a", "b"], State: { Pid: 7, Paused: false }, Labels: { x: "1" } };

test("templates", () => {
  const cases: [string, string][] = [
    ["{{.Name}}", "web"],
    ["{{ .State.Pid }}\\t{{upper .Name}}", "7\tWEB"],
    ["{{json .Tags}}", '["a","b"]'],
    ['{{join .Tags ", "}}', "a, b"],
    ["{{.Tags}} {{.Labels}}", "[a b] map[x:1]"],
    ["{{range .Tags}}<{{.}}>{{end}}", "<a><b>"],
    ["{{if .State.Paused}}yes{{else}}no{{end}}", "no"],
    ["{{len .Tags}}{{index .Tags 1}}", "2b"],
    ["{{.Name | upper | json}}", '"WEB"'],
    ["{{range .Tags}}{{$.Name}}{{end}}", "webweb"],
    ['{{if eq .Name "web"}}!{{end}}', "!"],
  ];
  for (const [template, text] of cases) assert.equal(parseTemplate(template)(value), text, template);
  assert.throws(() => parseTemplate("{{.Nope}}")(value), /no field \.Nope; there are \.Name/);
  assert.throws(() => parseTemplate("{{frob .Name}}")(value), /unknown function or field "frob"/);
  assert.throws(() => parseTemplate("{{if .Name}}x"), /end.*missing/);
  assert.throws(() => parseTemplate("{{.Name"), /expected }}/);
});

test("rows as table, JSON and template", () => {
  let text = "";
  const context = { out: (part: string) => (text += part) } as unknown as Context;
  const columns = [
    { title: "ID", field: "ID" },
    { title: "NAMES", field: "Names" },
  ];
  const rows = [
    { ID: "1", Names: "a", RunningFor: "1 hour ago" },
    { ID: "22", Names: "b", RunningFor: "now" },
  ];
  const printed = (format: string | undefined) => {
    text = "";
    printRows(context, rows, columns, format);
    return text;
  };
  assert.equal(printed(undefined), "ID   NAMES\n1    a\n22   b\n");
  assert.equal(printed("{{.Names}}"), "a\nb\n");
  assert.equal(printed("table {{.ID}}\\t{{.RunningFor}}"), "ID   RUNNING FOR\n1    1 hour ago\n22   now\n");
  assert.equal(printed("json").split("\n")[0], '{"ID":"1","Names":"a","RunningFor":"1 hour ago"}');
  assert.equal(tableOf([]), "");
});

test("a waterfall has a bar at each stage's time", () => {
  const stage = (name: string, offsetMs: number, elapsedMs: number, error = "") => ({
    name,
    facts: {},
    startedAt: undefined,
    offsetMs,
    elapsedMs,
    inFlight: false,
    error,
    stages: [],
  });
  const root = { ...stage("create", 0, 10), stages: [stage("mount", 5, 5, "boom")] };
  const lines = drawOperation({ namespace: "default", elapsedMs: 10, inFlight: false, root }, 76);
  assert.match(lines[0]!, /^create +10\.00 ms █{20}$/);
  assert.match(lines[1]!, /^ {2}mount +5\.00 ms {11}!{10}$/);
  assert.match(lines[2]!, /error: boom/);
});
