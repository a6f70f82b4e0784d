/** Calls a service's methods without a server, for unit tests. */
import { answerMessage, type CallContext, type Service } from "@berth/rpc";
import { create, type MessageInitShape } from "@bufbuild/protobuf";

/** Calls the unary methods of a service in the namespace "n", with further headers if given. */
export function callerOf(of: Service, headers: Record<string, string> = {}) {
  return async (name: string, request: object = {}): Promise<Record<string, unknown>> => {
    const { method, run } = of.routes.find((route) => route.method.localName === name)!;
    const context: CallContext = {
      method,
      headers: { "containerd-namespace": "n", ...headers },
      signal: new AbortController().signal,
      deadline: undefined,
    };
    const message = create(method.input, request as MessageInitShape<typeof method.input>);
    const answer = await run!(message, context);
    return answerMessage(method.output, answer) as never;
  };
}
