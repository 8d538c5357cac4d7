/** The API on a port: contract, handlers, the document and its page, and what every answer carries. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpApiSwagger from "@effect/platform/HttpApiSwagger"
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Api } from "./Api.ts"
import * as AuditHandlers from "./AuditHandlers.ts"
import { Authentication } from "./Authentication.ts"
import * as ClientsHandlers from "./ClientsHandlers.ts"
import * as DeliveriesHandlers from "./DeliveriesHandlers.ts"
import * as EventsHandlers from "./EventsHandlers.ts"
import * as EventTypesHandlers from "./EventTypesHandlers.ts"
import * as Failures from "./Failures.ts"
import * as QueryString from "./QueryString.ts"
import * as RequestBody from "./RequestBody.ts"
import * as SystemHandlers from "./SystemHandlers.ts"
import * as WebhooksHandlers from "./WebhooksHandlers.ts"

export interface ApiOptions {
  /** The most that a request's body may have. */
  readonly bytesMax: number
}

const api = HttpApiBuilder.api(Api).pipe(
  Layer.provide([
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

/** Seconds after which to come back, where the fault is ours and passing. */
const retryAfter = "1"

/** Answers are for the one who asked and are what they say they are. */
const finish = HttpMiddleware.make(HttpApp.withPreResponseHandler((_, response) => {
  const finished = HttpServerResponse.setHeaders(response, {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff"
  })
  if (response.status === 401) {
    return Effect.succeed(HttpServerResponse.setHeader(finished, "www-authenticate", "Bearer"))
  }
  if (response.status === 503) return Effect.succeed(HttpServerResponse.setHeader(finished, "retry-after", retryAfter))
  return Effect.succeed(finished)
}))

export const layer = (options: ApiOptions) =>
  HttpApiBuilder.serve(finish).pipe(
    Layer.provide(HttpApiSwagger.layer({ path: "/docs" })),
    Layer.provide(HttpApiBuilder.middlewareOpenApi({ path: "/openapi.json" })),
    Layer.provide(QueryString.layer),
    Layer.provide(RequestBody.layer(options)),
    Layer.provide(Failures.layer),
    Layer.provide(api),
    // A type's name may have 128 characters, and one that has too many is to be told so.
    Layer.provide(HttpRouter.setRouterConfig({ maxParamLength: 1_024 }))
  )
