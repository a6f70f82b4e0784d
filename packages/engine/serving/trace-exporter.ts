/** Stages as spans, by OpenTelemetry's SDK and its OTLP exporter, which take their settings from the environment. */

import type { Stage } from "@berth/base";
import { VERSION } from "@berth/base";
import { type Context, ROOT_CONTEXT, type Span, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { defaultResource, resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";

/** Turns stages into spans, and sends them. */
export interface StageExporter {
  begin(stage: Stage): void;
  end(stage: Stage): void;
  /** Sends what is left. */
  close(): Promise<void>;
}

/** Stages of operations in flight that are followed; those beyond it are not sent. */
const MAX_LIVE = 10_000;

/** Starts to export. */
export function startExporter(): StageExporter {
  const name = process.env.OTEL_SERVICE_NAME || "berthd";
  const provider = new TracerProvider({
    resource: defaultResource().merge(
      resourceFromAttributes({
        "service.name": name,
        "service.version": VERSION,
        "process.pid": process.pid,
      }),
    ),
    spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter() })],
  });
  const tracer = provider.getTracer("berth", VERSION);
  const live = new Map<number, { span: Span; context: Context }>();
  // Monotonic time with fractions of a millisecond, as Date.now() has none.
  const timeOf = (ms: number) => performance.timeOrigin + ms;
  const begin = ({ id, parent, name, facts, begin }: Stage) => {
    if (live.size >= MAX_LIVE) return undefined;
    const context = (parent === undefined ? undefined : live.get(parent.id)?.context) ?? ROOT_CONTEXT;
    const attributes = Object.fromEntries(
      Object.entries(facts).map(([key, value]) => [`berth.${key}`, value]),
    );
    const span = tracer.startSpan(name, { startTime: timeOf(begin), attributes }, context);
    const entry = { span, context: trace.setSpan(context, span) };
    live.set(id, entry);
    return entry;
  };
  return {
    begin,
    end: (stage) => {
      const { id, end, error } = stage;
      // Some are told only when they are over.
      const entry = live.get(id) ?? begin(stage);
      live.delete(id);
      if (error !== undefined) entry?.span.setStatus({ code: SpanStatusCode.ERROR, message: error });
      entry?.span.end(timeOf(end ?? performance.now()));
    },
    close: async () => {
      // A collector that is away must not keep the daemon from ending.
      await Promise.race([provider.shutdown(), new Promise((resolve) => setTimeout(resolve, 3000).unref())]);
    },
  };
}
