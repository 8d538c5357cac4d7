/** A collector on loopback that takes OTLP in JSON and decodes it to what was exported. */
import { Context, Effect, Layer } from "effect"
import * as ScriptedReceiver from "./ScriptedReceiver.ts"

type Attributes = Readonly<Record<string, unknown>>

export interface ExportedSpan {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | undefined
  /** 1: ours, 2: a server's, 3: a client's, 4: a producer's. */
  readonly kind: number
  readonly attributes: Attributes
  readonly links: ReadonlyArray<{ readonly traceId: string; readonly spanId: string }>
  readonly events: ReadonlyArray<{ readonly name: string; readonly attributes: Attributes }>
  /** 1: well, 2: failed. */
  readonly status: number
}

export interface ExportedPoint {
  readonly metric: string
  readonly kind: "sum" | "gauge" | "histogram"
  readonly unit: string
  /** 2: cumulative; undefined of a gauge. */
  readonly temporality: number | undefined
  readonly isMonotonic: boolean | undefined
  readonly attributes: Attributes
  readonly value: number
  readonly bounds: ReadonlyArray<number> | undefined
  readonly exemplars: ReadonlyArray<{ readonly traceId: string; readonly spanId: string; readonly asDouble: number }>
}

export interface ExportedLog {
  readonly level: string
  readonly severity: number
  readonly body: unknown
  readonly attributes: Attributes
  readonly traceId: string | undefined
  readonly spanId: string | undefined
}

interface KeyValue {
  readonly key: string
  readonly value: Readonly<Record<string, unknown>>
}

/** A document of OTLP as it came; what it holds is looked at by assertions. */
type Document = ReturnType<typeof JSON.parse>

const attributesOf = (pairs: ReadonlyArray<KeyValue>): Attributes =>
  Object.fromEntries(pairs.map(({ key, value }) => [key, valueOf(value)]))

const valueOf = (value: KeyValue["value"]): unknown => {
  const [[kind, inner] = ["", null]] = Object.entries(value)
  return kind === "intValue" ? Number(inner) : inner
}

const spansOf = ({ resourceSpans }: Document): ReadonlyArray<ExportedSpan> =>
  resourceSpans.flatMap(({ scopeSpans }: Document) => scopeSpans).flatMap(({ spans }: Document) => spans).map((
    span: Document
  ) => ({
    name: span.name,
    traceId: span.traceId,
    spanId: span.spanId,
    parentSpanId: span.parentSpanId,
    kind: span.kind,
    links: span.links,
    attributes: attributesOf(span.attributes),
    events: span.events.map(({ attributes, name }: Document) => ({ name, attributes: attributesOf(attributes) })),
    status: span.status.code
  }))

const pointsOf = ({ resourceMetrics }: Document): ReadonlyArray<ExportedPoint> =>
  resourceMetrics.flatMap(({ scopeMetrics }: Document) => scopeMetrics).flatMap(({ metrics }: Document) => metrics)
    .flatMap((metric: Document) => {
      const kind = (["sum", "gauge", "histogram"] as const).find((kind) => kind in metric) ?? "gauge"
      return metric[kind].dataPoints.map((point: Document): ExportedPoint => ({
        metric: metric.name,
        kind,
        unit: metric.unit,
        temporality: metric[kind].aggregationTemporality,
        isMonotonic: metric[kind].isMonotonic,
        attributes: attributesOf(point.attributes),
        value: point.asDouble ?? point.asInt ?? point.count,
        bounds: point.explicitBounds,
        exemplars: point.exemplars ?? []
      }))
    })

const logsOf = ({ resourceLogs }: Document): ReadonlyArray<ExportedLog> =>
  resourceLogs.flatMap(({ scopeLogs }: Document) => scopeLogs).flatMap(({ logRecords }: Document) => logRecords).map((
    record: Document
  ) => ({
    traceId: record.traceId,
    spanId: record.spanId,
    level: record.severityText,
    severity: record.severityNumber,
    body: valueOf(record.body),
    attributes: attributesOf(record.attributes)
  }))

export class OtlpReceiver extends Context.Tag("deeper-hub-webhooks/test/support/OtlpReceiver")<OtlpReceiver, {
  readonly endpoint: string
  /** Everything so far; of metrics, point by point, as often as they were exported. */
  readonly spans: Effect.Effect<ReadonlyArray<ExportedSpan>>
  readonly points: Effect.Effect<ReadonlyArray<ExportedPoint>>
  readonly logs: Effect.Effect<ReadonlyArray<ExportedLog>>
  /** What every export says of its origin. */
  readonly resources: Effect.Effect<ReadonlyArray<Attributes>>
  readonly headers: Effect.Effect<ReadonlyArray<Readonly<Record<string, string>>>>
}>() {
  static readonly layer = Layer.scoped(
    this,
    Effect.map(ScriptedReceiver.make(), (receiver) => {
      const documents = (path: string) =>
        receiver.received.filter((request) => request.path === path).map(({ text }): Document => JSON.parse(text))
      return OtlpReceiver.of({
        endpoint: receiver.url("/").href,
        spans: Effect.sync(() => documents("/v1/traces").flatMap(spansOf)),
        points: Effect.sync(() => documents("/v1/metrics").flatMap(pointsOf)),
        logs: Effect.sync(() => documents("/v1/logs").flatMap(logsOf)),
        resources: Effect.sync(() =>
          receiver.received.map(({ text }): Document => JSON.parse(text)).map((document) =>
            attributesOf(
              (document.resourceSpans ?? document.resourceMetrics ?? document.resourceLogs)[0].resource.attributes
            )
          )
        ),
        headers: Effect.sync(() => receiver.received.map(({ headers }) => headers))
      })
    })
  )
}
