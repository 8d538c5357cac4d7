/** Traces, metrics and logs over OTLP, where a collector is named. */
import * as OtlpMetrics from "@effect/opentelemetry/OtlpMetrics"
import * as OtlpTracer from "@effect/opentelemetry/OtlpTracer"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Collector from "./Collector.ts"
import * as LogExport from "./LogExport.ts"
import { nodeId } from "./NodeIdentity.ts"
import * as Payloads from "./Payloads.ts"
import * as Tracing from "./Tracing.ts"
import { version } from "./Version.ts"

export interface TelemetryOptions extends Tracing.Sampling {
  /** None: nothing is exported. */
  readonly endpoint: Option.Option<URL>
  /** For the collector; may be credentials. */
  readonly headers: Redacted.Redacted<Readonly<Record<string, string>>>
  readonly serviceName: string
  /** Of one request to the collector. */
  readonly timeout: Duration.Duration
  readonly traces: boolean
  readonly metrics: boolean
  readonly logs: boolean
  readonly traceInterval: Duration.Duration
  readonly metricInterval: Duration.Duration
  readonly logInterval: Duration.Duration
}

/** So many spans or records go at once: writing them takes the process a few milliseconds. */
const batchMax = 512

/** At the end of the process. */
const shutdownTimeout = Duration.seconds(2)

export const layer = (options: TelemetryOptions): Layer.Layer<never> =>
  Option.match(options.endpoint, { onNone: () => Layer.empty, onSome: (endpoint) => exporting(endpoint, options) })

/**
 * Where no spans are exported and nobody else has set a tracer, none are made. Not for a program that embeds the service: it
 * may trace what surrounds us.
 */
export const noIdleSpans = ({ endpoint, traces }: TelemetryOptions): Layer.Layer<never> =>
  Layer.unwrapEffect(
    Effect.map(Tracing.isOn, (isOn) =>
      isOn || (traces && Option.isSome(endpoint)) ? Layer.empty : Layer.setTracerEnabled(false))
  )

const exporting = (endpoint: URL, options: TelemetryOptions): Layer.Layer<never> => {
  const to = (path: string) => ({
    url: new URL(path, `${endpoint.href.replace(/\/$/, "")}/`).href,
    headers: Redacted.value(options.headers),
    resource: {
      serviceName: options.serviceName,
      serviceVersion: version,
      attributes: { "service.instance.id": nodeId }
    },
    maxBatchSize: batchMax,
    shutdownTimeout
  })
  const tracer = OtlpTracer.make({ ...to("v1/traces"), exportInterval: options.traceInterval })
  const logger = LogExport.make({ ...to("v1/logs"), exportInterval: options.logInterval })
  return Layer.mergeAll(
    options.logs ? Logger.addScoped(logger) : Layer.empty,
    options.metrics
      ? OtlpMetrics.layer({ ...to("v1/metrics"), exportInterval: options.metricInterval })
      : Layer.empty,
    options.traces
      ? Layer.unwrapScoped(Effect.map(tracer, (made) => Layer.setTracer(Tracing.sampled(made, options))))
      : Layer.empty
  ).pipe(
    Layer.provide(Payloads.layer),
    Layer.provide(Collector.layer({ timeout: options.timeout })),
    Layer.provide(NodeHttpClient.layerUndici)
  )
}
