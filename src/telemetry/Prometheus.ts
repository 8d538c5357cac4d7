/** The process's metrics in Prometheus text format, as its own server would be asked for them. */
import * as Metrics from "@effect/opentelemetry/Metrics"
import { Resource } from "@effect/opentelemetry/Resource"
import { PrometheusSerializer } from "@opentelemetry/exporter-prometheus"
import { resourceFromAttributes } from "@opentelemetry/resources"
import type { ScopeMetrics } from "@opentelemetry/sdk-metrics"
import * as Effect from "effect/Effect"
import { nodeId, serviceName } from "./NodeIdentity.ts"
import { version } from "./Version.ts"

// The scope would be one more label of every series, and is the same for all of them.
const serializer = new PrometheusSerializer(undefined, false, undefined, false, true)

/** A unit beside a name that says it already would be a line that this format does not know. */
const withoutUnits = ({ metrics, scope }: ScopeMetrics): ScopeMetrics => ({
  scope,
  metrics: metrics.map((metric) => ({ ...metric, descriptor: { ...metric.descriptor, unit: "" } }))
})

export const render: Effect.Effect<string> = Effect.gen(function*() {
  const producer = yield* Metrics.makeProducer
  const { resourceMetrics } = yield* Effect.promise(() => producer.collect())
  return serializer.serialize({ ...resourceMetrics, scopeMetrics: resourceMetrics.scopeMetrics.map(withoutUnits) })
}).pipe(Effect.provideService(
  Resource,
  resourceFromAttributes({
    "service.name": serviceName,
    "service.version": version,
    "service.instance.id": nodeId
  })
))
