import assert from "node:assert/strict";
import test from "node:test";
import { Counter, Histogram, samplesText } from "./exposition.ts";
import { loopbackAddress } from "./listener.ts";

test("Prometheus text format: counters, gauges and cumulative buckets, with labels escaped", () => {
  const counter = new Counter("c_total", "Help.");
  counter.add({ topic: 'a"b\\c\nd' });
  counter.add({ topic: 'a"b\\c\nd' });
  assert.equal(
    counter.text(),
    '# HELP c_total Help.\n# TYPE c_total counter\nc_total{topic="a\\"b\\\\c\\nd"} 2\n',
  );
  assert.match(samplesText("g", "H.", "gauge", [{ labels: {}, value: 3 }]), /^g 3$/m);
  const histogram = new Histogram("h_seconds", "Help.");
  for (const seconds of [0.0005, 0.001, 0.004, 1000]) histogram.add("x", () => ({ stage: "x" }), seconds);
  const text = histogram.text();
  assert.match(text, /^h_seconds_bucket\{stage="x",le="0.001"\} 2$/m);
  assert.match(text, /^h_seconds_bucket\{stage="x",le="0.005"\} 3$/m);
  assert.match(text, /^h_seconds_bucket\{stage="x",le="300"\} 3$/m);
  assert.match(text, /^h_seconds_bucket\{stage="x",le="\+Inf"\} 4$/m);
  assert.match(text, /^h_seconds_count\{stage="x"\} 4$/m);
});

test("series are bounded", () => {
  const counter = new Counter("c_total", "Help.");
  for (let i = 0; i < 10_000; i++) counter.add({ topic: `/t/${i}` });
  assert.ok(counter.text().split("\n").length < 1000);
});

test("metrics are served on loopback addresses only", () => {
  assert.deepEqual(loopbackAddress("127.0.0.1:9100"), { host: "127.0.0.1", port: 9100 });
  assert.deepEqual(loopbackAddress("[::1]:1"), { host: "::1", port: 1 });
  for (const other of ["0.0.0.0:1", "9100", "localhost:1", "127.0.0.1:70000", "192.168.1.1:80", "[::]:1"])
    assert.equal(loopbackAddress(other), undefined, other);
});
