/** Run by bun.test.ts on Bun: downloads on fresh connections, cancel, deadline, errors. */
import { connect } from "@berth/grpc/client";
import { Echo, type EchoClient } from "../support/wire.ts";

const path = process.argv[2]!;
const empty = { value: new Uint8Array() };
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "ok",
    (e: { code: string }) => e.code,
  );

for (let i = 0; i < 10; i++) {
  const connection = connect({ path });
  const echo = connection.client(Echo) as unknown as EchoClient;
  let n = (await echo.unary({ value: new Uint8Array((16 << 20) - 16) })).value.length;
  for await (const m of echo.download({ value: Buffer.from("20x1000000") })) n += m.value.length;
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 5);
  console.log(
    n,
    await codeOf(echo.hang(empty, { signal: controller.signal })),
    await codeOf(echo.hang(empty, { timeoutMs: 5 })),
    await codeOf(echo.fail(empty)),
    await codeOf(echo.missing(empty)),
  );
  connection.close();
}
