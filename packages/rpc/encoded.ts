/** Answers that are stored as they are sent: a list of a thousand records need not be decoded to be encoded again. */
import { create, type DescMessage, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";

/** Wire type of a field that is a message. */
const LENGTH_DELIMITED = 2;

/** A message in its binary form. */
export class EncodedMessage {
  readonly bytes: Uint8Array<ArrayBuffer>;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
  }

  /** A message whose repeated field `number` (up to 15) has these messages, and that has no others. */
  static list(number: number, messages: readonly Uint8Array[]): EncodedMessage {
    const room = messages.reduce((sum, { length }) => sum + length + 6, 0);
    const bytes = new Uint8Array(room);
    let at = 0;
    for (const message of messages) {
      bytes[at++] = (number << 3) | LENGTH_DELIMITED;
      let { length } = message;
      for (; length > 0x7f; length >>>= 7) bytes[at++] = (length & 0x7f) | 0x80;
      bytes[at++] = length;
      bytes.set(message, at);
      at += message.length;
    }
    return new EncodedMessage(bytes.subarray(0, at));
  }
}

/** A handler's answer in binary form. */
export function encodeAnswer(output: DescMessage, answer: unknown): Uint8Array<ArrayBuffer> {
  return answer instanceof EncodedMessage ? answer.bytes : toBinary(output, answerMessage(output, answer));
}

/** A handler's answer as a message. */
export function answerMessage(output: DescMessage, answer: unknown): Message {
  if (answer instanceof EncodedMessage) return fromBinary(output, answer.bytes);
  return create(output, answer as Parameters<typeof create>[1]);
}
