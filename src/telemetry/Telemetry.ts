/** Traces, metrics and logs over OTLP, where a collector is named. */
import * as Otlp from "@effect/opentelemetry/Otlp"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"

export const layer = (endpoint: Option.Option<URL>, version: string): Layer.Layer<never> =>
  Option.match(endpoint, {
    onNone: () => Layer.empty,
    onSome: (url) =>
      Otlp.layerJson({
        baseUrl: url.href,
        resource: { serviceName: "deeper-hub-webhooks", serviceVersion: version }
      }).pipe(Layer.provide(NodeHttpClient.layerUndici))
  })
