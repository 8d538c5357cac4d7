/** Routes about the service itself. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { Authentication } from "./Authentication.ts"
import * as Problem from "./Problem.ts"
import * as SnakeCase from "./SnakeCase.ts"

const SystemResource = SnakeCase.struct({
  actors: Schema.Array(SnakeCase.struct({
    name: Schema.String,
    state: Schema.Literal("running", "restarting", "stopped"),
    restarts: Schema.Int,
    lastCrash: Schema.NullOr(SnakeCase.struct({ at: Schema.DateTimeUtc, message: Schema.String })),
    since: Schema.DateTimeUtc
  })),
  queueDepth: Schema.Int.annotations({ description: "Leased deliveries that wait for a worker in this process." }),
  waiting: Schema.Int.annotations({ description: "Deliveries that are due and not leased, up to 10,000." }),
  held: Schema.Int.annotations({ description: "Deliveries on hold, up to 10,000." }),
  oldestDueAgeSeconds: Schema.Number.annotations({ description: "How long the oldest due delivery has been due." }),
  versions: Schema.Struct({ service: Schema.String, node: Schema.String, postgres: Schema.String })
}).annotations({ identifier: "System" })

const Alive = Schema.Struct({ status: Schema.Literal("ok") })

/** Without a key: for probes and scrapers. */
export class ProbesApi extends HttpApiGroup.make("probes", { topLevel: true })
  .add(HttpApiEndpoint.get("healthz", "/healthz").addSuccess(Alive).annotate(OpenApi.Summary, "The process lives"))
  .add(
    HttpApiEndpoint.get("readyz", "/readyz")
      .addSuccess(Alive)
      .annotate(OpenApi.Summary, "The service can take requests")
  )
  .add(
    HttpApiEndpoint.get("metrics", "/metrics")
      .addSuccess(HttpApiSchema.Text({ contentType: "text/plain; version=0.0.4; charset=utf-8" }))
      .annotate(OpenApi.Summary, "Metrics in Prometheus text format")
  )
{}

export class SystemApi extends HttpApiGroup.make("system")
  .add(
    HttpApiEndpoint.get("get", "/api/system")
      .setUrlParams(SnakeCase.noQuery)
      .addSuccess(SystemResource)
      .addError(Problem.forbidden)
      .annotate(OpenApi.Summary, "The supervision tree and the queue (operator)")
  )
  .middleware(Authentication)
{}
