/** Log lines in logrus' two formats, which consumers of a runtime's log parse. */
import type { LogFields, LogLevel } from "@berth/base";

/** A line without its newline: `time="..." level=warning msg="..."`, or the same as JSON. */
export function logLine(
  format: "text" | "json",
  level: LogLevel,
  message: string,
  fields: LogFields = {},
): string {
  const time = new Date().toISOString().replace(/\.\d+Z$/, "Z");
  const name = level === "warn" ? "warning" : level;
  if (format === "json") return JSON.stringify({ ...fields, level: name, msg: message, time });
  const quote = (text: string) => (/^[\w./@^+-]+$/.test(text) ? text : JSON.stringify(text));
  const tail = Object.entries(fields).map(([key, value]) => ` ${key}=${quote(String(value))}`);
  return `time="${time}" level=${name} msg=${quote(message)}${tail.join("")}`;
}
