/** Lists as a table, as JSON lines, or through a template, as chosen by --format and --quiet. */
import type { Context } from "../command.ts";
import { parseTemplate } from "./template.ts";

/** One item of a list: values by docker's field names. */
export type Row = Readonly<Record<string, string>>;

/** A column of the default table. */
export interface Column {
  title: string;
  field: string;
}

/** Prints rows in the form of --format: absent or "table" (columns), "json", "table TEMPLATE" or a template. */
export function printRows(
  context: Context,
  rows: readonly Row[],
  columns: readonly Column[],
  format: string | undefined,
): void {
  if (format === undefined || format === "" || format === "table") {
    context.out(
      tableOf([columns.map((c) => c.title), ...rows.map((row) => columns.map((c) => row[c.field] ?? ""))]),
    );
    return;
  }
  if (format === "json") {
    for (const row of rows) context.out(`${JSON.stringify(row)}\n`);
    return;
  }
  const isTable = format.startsWith("table ");
  const template = parseTemplate(isTable ? format.slice("table ".length) : format);
  const lines = rows.map((row) => template(row));
  if (!isTable) {
    for (const line of lines) context.out(`${line}\n`);
    return;
  }
  const titles = Object.fromEntries(Object.keys(rows[0] ?? {}).map((key) => [key, titleOf(key, columns)]));
  const header = rows.length > 0 ? template(titles) : "";
  context.out(tableOf([header, ...lines].map((line) => line.split("\t"))));
}

function titleOf(field: string, columns: readonly Column[]): string {
  return (
    columns.find((c) => c.field === field)?.title ?? field.replace(/([a-z])([A-Z])/g, "$1 $2").toUpperCase()
  );
}

/** Lines of cells in aligned columns, three spaces apart. */
export function tableOf(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  return rows
    .map(
      (row) =>
        `${row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i]!))).join("   ")}\n`,
    )
    .map((line) => (line.trim() === "" ? "" : line.replace(/ +\n$/, "\n")))
    .join("");
}

/** Shortens a text for a table. */
export function shorten(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
