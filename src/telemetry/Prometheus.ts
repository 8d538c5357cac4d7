/**
 * The process's metrics in Prometheus text format, as its own server would be asked for them. Thousands of series are
 * written a few at a time, with a turn of the event loop in between, so that no delivery waits for a scrape.
 */
import * as Metrics from "@effect/opentelemetry/Metrics"
import { Resource } from "@effect/opentelemetry/Resource"
import { PrometheusSerializer } from "@opentelemetry/exporter-prometheus"
import { resourceFromAttributes } from "@opentelemetry/resources"
import type { MetricData } from "@opentelemetry/sdk-metrics"
import * as Effect from "effect/Effect"
import { nodeId, serviceName } from "./NodeIdentity.ts"
import { version } from "./Version.ts"

/** Written in one turn of the loop: a histogram's are some fifteen lines each. */
const seriesAtOnce = 100

// The scope would be one more label of every series, and is the same for all of them.
const withTarget = new PrometheusSerializer(undefined, false, undefined, false, true)
const withoutTarget = new PrometheusSerializer(undefined, false, undefined, true, true)

const resource = resourceFromAttributes({
  "service.name": serviceName,
  "service.version": version,
  "service.instance.id": nodeId
})

/** A unit beside a name that says it already would be a line that this format does not know. */
const withoutUnit = (metric: MetricData): MetricData => ({ ...metric, descriptor: { ...metric.descriptor, unit: "" } })

/** The same metric with these of its series; what type they are of does not change. */
const withSeries = (metric: MetricData, from: number): MetricData =>
  ({ ...metric, dataPoints: metric.dataPoints.slice(from, from + seriesAtOnce) }) as MetricData

/** What is said of the metric itself is said once. */
const withoutHead = (text: string): string => text.replace(/^(?:#.*\n)+/, "")

const nextTurn = Effect.async<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

export const render: Effect.Effect<string> = Effect.gen(function*() {
  const producer = yield* Metrics.makeProducer
  const { resourceMetrics: { scopeMetrics } } = yield* Effect.promise(() => producer.collect())
  let text = ""
  for (const { metrics, scope } of scopeMetrics) {
    for (const metric of metrics.map(withoutUnit)) {
      for (let from = 0; from < metric.dataPoints.length; from += seriesAtOnce) {
        const serializer = text === "" ? withTarget : withoutTarget
        const piece = serializer.serialize({ resource, scopeMetrics: [{ scope, metrics: [withSeries(metric, from)] }] })
        text += from === 0 ? piece : withoutHead(piece)
        yield* nextTurn
      }
    }
  }
  return text
}).pipe(Effect.provideService(Resource, resource))
