/** OTLP in JSON, with what the exporters leave to be desired mended on the way. */
import * as OtlpSerialization from "@effect/opentelemetry/OtlpSerialization"
import * as HttpBody from "@effect/platform/HttpBody"
import * as Layer from "effect/Layer"
import * as Exemplars from "./Exemplars.ts"

interface KeyValue {
  readonly key: string
  readonly value: { stringValue?: string | null }
}

interface Span {
  attributes: ReadonlyArray<KeyValue>
}

interface DataPoint {
  readonly attributes: ReadonlyArray<KeyValue>
  exemplars?: ReadonlyArray<object>
}

interface Metric {
  readonly name: string
  unit: string
  readonly histogram?: { readonly dataPoints: ReadonlyArray<DataPoint> }
}

/** The parts of the exporters' documents that are looked at here. */
interface TraceData {
  readonly resourceSpans: ReadonlyArray<{ readonly scopeSpans: ReadonlyArray<{ readonly spans: ReadonlyArray<Span> }> }>
}

interface MetricData {
  readonly resourceMetrics: ReadonlyArray<
    { readonly scopeMetrics: ReadonlyArray<{ readonly metrics: ReadonlyArray<Metric> }> }
  >
}

/** Longer ones are cut: a statement's text is of use by its beginning. */
const attributeLengthMax = 512

/** The exporter says of every failure that it was an interruption. */
const isUntrue = ({ key }: KeyValue): boolean => key === "status.interrupted" || key === "span.label"

const mendSpan = (span: Span): void => {
  if (span.attributes.some(isUntrue)) span.attributes = span.attributes.filter((attribute) => !isUntrue(attribute))
  for (const { value } of span.attributes) {
    const text = value.stringValue
    if (text != null && text.length > attributeLengthMax) value.stringValue = `${text.slice(0, attributeLengthMax)}…`
  }
}

const mendMetric = (metric: Metric): void => {
  // The names say the unit. Prometheus exporters would add it to the name again, and `_ratio` for the unit 1.
  metric.unit = ""
  for (const point of metric.histogram?.dataPoints ?? []) {
    const tags = Object.fromEntries(point.attributes.map(({ key, value }) => [key, value.stringValue ?? ""]))
    const exemplar = Exemplars.latestOf(metric.name, tags)
    if (exemplar === undefined) continue
    const { spanId, time, traceId, value } = exemplar
    point.exemplars = [{ filteredAttributes: [], timeUnixNano: String(time), asDouble: value, spanId, traceId }]
  }
}

export const layer = Layer.succeed(OtlpSerialization.OtlpSerialization, {
  traces: (data) => {
    for (const { scopeSpans } of (data as TraceData).resourceSpans) {
      for (const { spans } of scopeSpans) spans.forEach(mendSpan)
    }
    return HttpBody.unsafeJson(data)
  },
  metrics: (data) => {
    for (const { scopeMetrics } of (data as MetricData).resourceMetrics) {
      for (const { metrics } of scopeMetrics) metrics.forEach(mendMetric)
    }
    return HttpBody.unsafeJson(data)
  },
  logs: (data) => HttpBody.unsafeJson(data)
})
