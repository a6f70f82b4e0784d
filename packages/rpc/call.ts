/** One call on the server's side: deadline, cancellation, and the status it ends with. */
import { performance } from "node:perf_hooks";
import { BerthError } from "@berth/base";
import type { CallContext, Route } from "./service.ts";

/** The {@link CallContext} a handler sees. The abort controller is created only when the signal is read. */
export class Call implements CallContext {
  readonly method: Route["method"];
  readonly headers: CallContext["headers"];
  readonly deadline: number | undefined;
  #controller: AbortController | undefined;
  #reason: BerthError | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** `ms`: how long the client waits; undefined means no deadline. */
  constructor(
    method: Route["method"],
    headers: CallContext["headers"],
    ms: number | undefined,
    onExpired: (e: BerthError) => void,
  ) {
    this.method = method;
    this.headers = headers;
    this.deadline = ms === undefined ? undefined : performance.now() + ms;
    if (ms !== undefined)
      this.#timer = setTimeout(() => {
        const error = new BerthError("deadline_exceeded", `${method.name} took longer than ${ms} ms`);
        this.abort(error);
        onExpired(error);
      }, ms);
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** Why the call was aborted, if it was. */
  get aborted(): BerthError | undefined {
    return this.#reason;
  }

  /** Aborts the call; the first reason wins. */
  abort(reason: BerthError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }

  /** Clears the deadline timer. */
  end(): void {
    clearTimeout(this.#timer);
  }
}

/** The error for a method that has no implementation. */
export function refusalOf(route: Route): BerthError {
  return new BerthError(
    "unimplemented",
    route.refusal ?? `method ${route.method.name} of ${route.method.parent.typeName} is not supported`,
  );
}
