/** The one logger: a line of text or JSON per event on standard error, filtered by level. */

const LEVELS = ["trace", "debug", "info", "warn", "error"] as const;
/** Severity of a log line, lowest first: trace, debug, info, warn, error. */
export type LogLevel = (typeof LEVELS)[number];
/** Facts attached to a log line. Never put credentials, environments or file contents here. */
export type LogFields = Readonly<Record<string, unknown>>;

interface LogSettings {
  level: LogLevel;
  format: "text" | "json";
  /** Renders a line (without its newline) in a custom format; overrides `format`. */
  render: ((level: LogLevel, message: string, fields: LogFields) => string) | undefined;
  write: (line: string) => unknown;
}

const settings: LogSettings = {
  level: "info",
  format: "text",
  render: undefined,
  // Not process.stderr, which a short command would pay 9 ms for.
  write: (line) => process.getBuiltinModule("node:fs").writeSync(2, line),
};

/** Changes level, format or destination for the whole process. Defaults: info, text, standard error. */
export function configureLog(change: Partial<LogSettings>): void {
  Object.assign(settings, change);
}

/** The level in force. */
export function logLevel(): LogLevel {
  return settings.level;
}

/** Whether `text` names a log level. */
export function isLogLevel(text: string): text is LogLevel {
  return (LEVELS as readonly string[]).includes(text);
}

function emit(level: LogLevel, message: string, fields: LogFields): void {
  if (LEVELS.indexOf(level) < LEVELS.indexOf(settings.level)) return;
  if (settings.render !== undefined) {
    settings.write(`${settings.render(level, message, fields)}\n`);
    return;
  }
  const time = new Date().toISOString();
  if (settings.format === "json") {
    settings.write(`${JSON.stringify({ time, level, msg: message, ...fields })}\n`);
    return;
  }
  const tail = Object.entries(fields).map(([k, v]) => ` ${k}=${quoteIfNeeded(v)}`);
  settings.write(`${time} ${level.padEnd(5)} ${message}${tail.join("")}\n`);
}

function quoteIfNeeded(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "undefined");
  return typeof value === "string" && /[\s"=]/.test(text) ? JSON.stringify(text) : text;
}

/** Writes log lines; see {@link configureLog}. */
export const log = {
  trace: (message: string, fields: LogFields = {}): void => emit("trace", message, fields),
  debug: (message: string, fields: LogFields = {}): void => emit("debug", message, fields),
  info: (message: string, fields: LogFields = {}): void => emit("info", message, fields),
  warn: (message: string, fields: LogFields = {}): void => emit("warn", message, fields),
  error: (message: string, fields: LogFields = {}): void => emit("error", message, fields),
};
