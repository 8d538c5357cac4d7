/** The API on a port: contract, handlers, the document and its page, and what every answer carries. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpApiSwagger from "@effect/platform/HttpApiSwagger"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Tracing from "../telemetry/Tracing.ts"
import * as Admission from "./Admission.ts"
import * as AlertsHandlers from "./AlertsHandlers.ts"
import { Api } from "./Api.ts"
import * as AuditHandlers from "./AuditHandlers.ts"
import { Authentication } from "./Authentication.ts"
import * as ClientsHandlers from "./ClientsHandlers.ts"
import * as DeliveriesHandlers from "./DeliveriesHandlers.ts"
import * as EventsHandlers from "./EventsHandlers.ts"
import * as EventTypesHandlers from "./EventTypesHandlers.ts"
import * as Failures from "./Failures.ts"
import { Listener } from "./Listener.ts"
import * as Methods from "./Methods.ts"
import * as Paths from "./Paths.ts"
import { PublishRoutes } from "./PublishRoutes.ts"
import * as QueryString from "./QueryString.ts"
import * as RateLimit from "./RateLimit.ts"
import * as RequestBody from "./RequestBody.ts"
import * as SecurityHeaders from "./SecurityHeaders.ts"
import * as ShortWay from "./ShortWay.ts"
import * as SystemHandlers from "./SystemHandlers.ts"
import * as UnreadBody from "./UnreadBody.ts"
import * as WebhooksHandlers from "./WebhooksHandlers.ts"

export interface ApiOptions {
  /** The most that a request's body may have. */
  readonly bytesMax: number
  /** How long a request's body may take to come. */
  readonly requestTimeout: Duration.Duration
  /** How many requests may be under way at once. */
  readonly requestsMax: number
  /** How often each key may ask. */
  readonly rateLimit: RateLimit.RateLimitOptions
}

const api = HttpApiBuilder.api(Api).pipe(
  Layer.provide([
    AlertsHandlers.layer,
    AuditHandlers.layer,
    ClientsHandlers.layer,
    DeliveriesHandlers.layer,
    EventsHandlers.layer,
    EventTypesHandlers.layer,
    SystemHandlers.layer,
    WebhooksHandlers.layer
  ]),
  Layer.provide(Authentication.layer)
)

/** Answers the requests of Node's server: those that publish on their short way, all others on the platform's. */
const served = ({ requestTimeout }: ApiOptions) =>
  Layer.scopedDiscard(
    Effect.gen(function*() {
      const app = yield* HttpApiBuilder.httpApp
      const admission = yield* Admission.Admission
      const platform = yield* handlers(
        Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
          const source = NodeHttpServerRequest.toIncomingMessage(request)
          const leave = () => admission.leave(NodeHttpServerRequest.toServerResponse(request))
          return Effect.map(app, (response) => {
            const finished = SecurityHeaders.set(response)
            return UnreadBody.isExpected(source)
              ? UnreadBody.outlast(finished, source, requestTimeout, leave)
              : finished
          })
        })
      )
      const take = yield* ShortWay.make(platform)
      const { server } = yield* Listener
      yield* Effect.acquireRelease(
        Effect.sync(() => server.on("request", take)),
        () => Effect.sync(() => server.off("request", take))
      )
    })
  ).pipe(Layer.provide([HttpApiBuilder.Router.Live, HttpApiBuilder.Middleware.layer]))

/**
 * The platform as listeners of Node's server. `HttpServer.serve` would also listen for upgrades, and where anybody does, Node
 * takes the body of a request that offers another protocol for that protocol's first words (RFC 9110, section 7.8: such a
 * request is as good as all others).
 */
const handlers = <E, R>(app: HttpApp.Default<E, R>) =>
  Effect.gen(function*() {
    const handle = yield* NodeHttpServer.makeHandler(app)
    const tracer = yield* Tracing.sampledTracer
    const record = tracer === null
      ? handle
      : yield* Effect.withTracer(NodeHttpServer.makeHandler(app), tracer.recording)
    return { handle, record }
  })

/** A span for each request, where anybody traces: not for those that come every few seconds to ask how we are. */
const traced = <A, E, R>(server: Layer.Layer<A, E, R>) =>
  Layer.unwrapEffect(
    Effect.map(Tracing.isOn, (isOn) =>
      HttpMiddleware.withTracerDisabledWhen(
        server,
        (request) => !isOn || Admission.isProbe(request.url) || ShortWay.isRefused(request)
      ))
  )

/** What surrounds the handlers, the outermost first. */
export const layer = (options: ApiOptions) => {
  const body = { bytesMax: options.bytesMax, within: options.requestTimeout }
  return traced(served(options)).pipe(
    Layer.provide(HttpApiSwagger.layer({ path: Paths.docs })),
    Layer.provide(HttpApiBuilder.middlewareOpenApi({ path: Paths.document })),
    Layer.provide(Failures.layer),
    Layer.provide(Admission.door),
    Layer.provide(ShortWay.layer),
    Layer.provide(QueryString.layer),
    Layer.provide(RequestBody.layer(body)),
    Layer.provide(Methods.layer),
    Layer.provide(api),
    Layer.provide(PublishRoutes.layer(body)),
    Layer.provide(RateLimit.RateLimit.layer(options.rateLimit)),
    Layer.provide(Admission.Admission.layer({ places: options.requestsMax })),
    // A type's name may have 128 characters, and one that has too many is to be told so.
    Layer.provide(HttpRouter.setRouterConfig({ maxParamLength: 1_024 }))
  )
}
