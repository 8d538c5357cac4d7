/** The process's metrics in Prometheus text format, as its own server would be asked for them. */
import * as Metrics from "@effect/opentelemetry/Metrics"
import { Resource } from "@effect/opentelemetry/Resource"
import { PrometheusSerializer } from "@opentelemetry/exporter-prometheus"
import { emptyResource } from "@opentelemetry/resources"
import * as Effect from "effect/Effect"

export const render: Effect.Effect<string> = Effect.gen(function*() {
  const producer = yield* Metrics.makeProducer
  const { resourceMetrics } = yield* Effect.promise(() => producer.collect())
  return new PrometheusSerializer().serialize(resourceMetrics)
}).pipe(Effect.provideService(Resource, emptyResource()))
