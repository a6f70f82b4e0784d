/** The Write stream: each request is answered with the ingest's status; it ends with the commit. */
import { content, timestamp } from "@berth/api";
import { BerthError } from "@berth/base";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Scope } from "../../base/core/scope.ts";
import { fromSize } from "../../base/core/wire.ts";
import type { ContentStore } from "../../objects/content/content-store.ts";

type Answer = MessageInitShape<typeof content.WriteContentResponseSchema>;
const { STAT, COMMIT } = content.WriteAction;

/** Handles the requests of one Write stream. */
export async function* writeContent(
  store: ContentStore,
  scope: Scope,
  requests: AsyncIterable<content.WriteContentRequest>,
): AsyncGenerator<Answer> {
  const stream = requests[Symbol.asyncIterator]();
  const first = await stream.next();
  if (first.done || first.value.ref === "")
    throw new BerthError("invalid_argument", "first message must have a reference: invalid argument");
  const { ref } = first.value;
  let total = fromSize(first.value.total, "total");
  let { expected } = first.value;
  const writer = await store.openWriter(scope, { ref, expected, total });
  try {
    for (
      let item: IteratorResult<content.WriteContentRequest> = first;
      !item.done;
      item = await stream.next()
    ) {
      const request = item.value;
      if (request.expected !== "") {
        expected = request.expected;
        if (store.find(scope.namespace, expected) !== undefined) {
          writer.close();
          store.abort(scope.namespace, ref);
          throw new BerthError("already_exists", `blob with expected digest ${expected} exists`);
        }
      }
      if (request.total > 0n) total = fromSize(request.total, "total");
      const answer: Answer = { action: request.action, offset: BigInt(writer.offset) };
      if (request.action === STAT) {
        Object.assign(answer, {
          digest: writer.digest,
          startedAt: timestamp(BigInt(writer.ingest.started)),
          updatedAt: timestamp(writer.updated),
          total: BigInt(total || writer.ingest.total),
        });
        yield answer;
        continue;
      }
      const offset = Number(request.offset);
      if (offset > 0 && offset !== writer.offset)
        throw new BerthError(
          "out_of_range",
          `write @${offset} must occur at current offset ${writer.offset}`,
        );
      // Offset 0 with data means from the start; a bare commit of a complete ingest has offset 0 too.
      if (offset === 0 && writer.offset > 0 && request.data.length > 0) await writer.restart();
      writer.write(request.data);
      answer.offset = BigInt(writer.offset);
      if (request.action === COMMIT) {
        answer.digest = await writer.commit(total, expected, request.labels, "keep");
        yield answer;
        return;
      }
      answer.digest = writer.digest;
      yield answer;
    }
  } finally {
    writer.close();
  }
}
