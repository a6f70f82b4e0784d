import assert from "node:assert/strict";
import test from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { answerMessage, EncodedMessage, encodeAnswer } from "./encoded.ts";

test("a list of encoded messages is the message that has them", () => {
  for (const size of [0, 1, 100, 127, 128, 20_000]) {
    const file = [1, 2].map((n) => create(FileDescriptorProtoSchema, { name: `${n}`.repeat(size) }));
    const plain = { file };
    const list = EncodedMessage.list(
      1,
      file.map((each) => toBinary(FileDescriptorProtoSchema, each)),
    );
    assert.deepEqual(
      encodeAnswer(FileDescriptorSetSchema, list),
      encodeAnswer(FileDescriptorSetSchema, plain),
    );
    assert.deepEqual(
      answerMessage(FileDescriptorSetSchema, list),
      answerMessage(FileDescriptorSetSchema, plain),
    );
  }
  assert.equal(encodeAnswer(FileDescriptorSetSchema, EncodedMessage.list(1, [])).length, 0);
});
