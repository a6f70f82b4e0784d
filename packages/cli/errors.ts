/** Errors at the terminal: their text and exit codes. */
import { BerthError, present } from "@berth/base";
import { UsageError } from "./flags.ts";

/** docker's exit codes for commands that could not be run. */
export const EXIT = { failure: 1, daemon: 125, cannotExecute: 126, notFound: 127 } as const;

/** An error with a command-specific exit code, and possibly another hint. */
export class CommandError extends BerthError {
  readonly exitCode: number;

  constructor(error: BerthError, exitCode: number, otherHint?: string) {
    const { code, message, stage, syscall, errno, path, cause } = error;
    const hint = otherHint ?? error.hint;
    super(code, message, {
      ...present({ stage, syscall, errno, path, hint, cause }),
    });
    this.exitCode = exitCode;
  }
}

/** A container that was created but could not be started. */
export class NotStarted extends CommandError {
  constructor(thrown: unknown, otherHint?: string) {
    super(
      BerthError.from(thrown),
      thrown instanceof CommandError ? thrown.exitCode : startExitCode(thrown),
      otherHint,
    );
  }
}

/** Exit code of a command that ended with an error. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommandError) return error.exitCode;
  return error instanceof UsageError ? EXIT.daemon : EXIT.failure;
}

/** docker's exit code for a failed start: 127 not found, 126 not executable, 125 anything else. */
export function startExitCode(thrown: unknown): number {
  const error = BerthError.from(thrown);
  const text = error.message.toLowerCase();
  const exec = error.stage === "exec" || error.syscall === "execve" || /exec|start/.test(text);
  if (!exec) return EXIT.daemon;
  if (
    error.errno === "ENOENT" ||
    /no such file or directory|not found in|executable file not found/.test(text)
  )
    return EXIT.notFound;
  const cannot = ["EACCES", "EPERM", "ENOEXEC", "EISDIR", "ENOTDIR", "ELIBBAD"];
  if (cannot.includes(error.errno ?? "")) return EXIT.cannotExecute;
  return /permission denied|is a directory|exec format/.test(text) ? EXIT.cannotExecute : EXIT.daemon;
}

/** Prints an error: what failed, why, and what to do next. */
export function printError(thrown: unknown, debug: boolean, write: (text: string) => void): void {
  const error = BerthError.from(thrown);
  const lines = [`berth: ${error.message}`];
  let printed = error.message;
  for (let cause = error.cause; cause !== undefined; ) {
    const message = cause instanceof Error ? cause.message : String(cause);
    if (message !== "" && !printed.includes(message)) lines.push(`cause: ${message}`);
    printed += message;
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  if (error.hint) lines.push(`next: ${sentence(error.hint)}`);
  if (debug) {
    const facts = {
      code: error.code,
      stage: error.stage,
      syscall: error.syscall,
      errno: error.errno,
      path: error.path,
    };
    lines.push(`facts: ${JSON.stringify(facts)}`);
    const origin = thrown instanceof Error ? thrown : error;
    if (origin.stack) lines.push(origin.stack);
  }
  write(`${lines.join("\n")}\n`);
}

/** Ends a hint with a full stop. */
export function sentence(hint: string): string {
  return /[.!?)`"]$/.test(hint) ? hint : `${hint}.`;
}
