/** How a service is implemented: plain async functions and generators, typed by its descriptor. */
import type {
  DescMessage,
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodClientStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type { EncodedMessage } from "./encoded.ts";
import type { Metadata } from "./metadata.ts";

/** A handler's view of its call. */
export interface CallContext {
  readonly method: DescMethod;
  readonly headers: Metadata;
  /** Aborted when the client cancels or goes away, and when the deadline passes. */
  readonly signal: AbortSignal;
  /** When the client stops waiting, as `performance.now()` counts; undefined without a deadline. */
  readonly deadline: number | undefined;
}

/** A method's implementation: unary and client-streaming ones return, the others yield. */
export type MethodImpl<M extends DescMethod> =
  M extends DescMethodUnary<infer I, infer O>
    ? (
        request: MessageShape<I>,
        call: CallContext,
      ) => Promise<MessageInitShape<O> | EncodedMessage> | MessageInitShape<O> | EncodedMessage
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageShape<I>, call: CallContext) => AsyncIterable<MessageInitShape<O>>
      : M extends DescMethodClientStreaming<infer I, infer O>
        ? (requests: AsyncIterable<MessageShape<I>>, call: CallContext) => Promise<MessageInitShape<O>>
        : M extends DescMethodBiDiStreaming<infer I, infer O>
          ? (
              requests: AsyncIterable<MessageShape<I>>,
              call: CallContext,
            ) => AsyncIterable<MessageInitShape<O>>
          : never;

/** A service's methods by their local (lowerCamelCase) names; omitted ones answer "unimplemented". */
export type ServiceImpl<D extends DescService> = {
  [K in keyof D["method"]]?: MethodImpl<D["method"][K]>;
};

/** A method with its implementation, without static types: what the server calls. */
export interface Route {
  readonly method: DescMethod & { readonly input: DescMessage; readonly output: DescMessage };
  readonly run: ((request: unknown, call: CallContext) => unknown) | undefined;
  /** Why the method is not implemented, for the error message. */
  readonly refusal: string | undefined;
}

/** A service that can be served. */
export interface Service {
  readonly desc: DescService;
  readonly routes: readonly Route[];
}

/**
 * Binds an implementation to its descriptor. `refusals` gives, by local name, the error message of an omitted method;
 * by default it says that the method is not supported.
 */
export function service<D extends DescService>(
  desc: D,
  impl: ServiceImpl<D>,
  refusals: { readonly [K in keyof D["method"]]?: string } = {},
): Service {
  const methods = impl as Record<string, Route["run"]>;
  const reasons = refusals as Record<string, string | undefined>;
  return {
    desc,
    routes: desc.methods.map((method) => ({
      method,
      run: methods[method.localName]?.bind(impl),
      refusal: reasons[method.localName],
    })),
  };
}
