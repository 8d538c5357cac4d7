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
  node: SnakeCase.struct({
    id: Schema.String,
    pid: Schema.Int,
    startedAt: Schema.DateTimeUtc,
    uptimeSeconds: Schema.Number
  }).annotations({ description: "The process that answers. `waiting` and what follows it are of the whole database." }),
  supervisor: SnakeCase.struct({
    strategy: Schema.Literal("one_for_one"),
    restartsMax: Schema.Int,
    withinSeconds: Schema.Int
  }).annotations({ description: "An actor that restarts more often within that time takes the process down." }),
  actors: Schema.Array(SnakeCase.struct({
    name: Schema.String,
    state: Schema.Literal("running", "restarting", "stopped"),
    restarts: Schema.Int,
    recentRestarts: Schema.Int.annotations({ description: "Of those that `supervisor.restarts_max` allows." }),
    lastCrash: Schema.NullOr(SnakeCase.struct({ at: Schema.DateTimeUtc, message: Schema.String })),
    since: Schema.DateTimeUtc
  })),
  queueDepth: Schema.Int.annotations({ description: "Leased deliveries that wait for their turn in this process." }),
  inFlight: Schema.Int.annotations({ description: "Attempts under way in this process." }),
  leases: Schema.Int.annotations({
    description: "Deliveries that this process has in hand, and whose leases it prolongs."
  }),
  waiting: Schema.Int.annotations({ description: "Deliveries that are due and not leased, up to 10,000." }),
  held: Schema.Int.annotations({ description: "Deliveries on hold, up to 10,000." }),
  heldBy: SnakeCase.struct({ circuit: Schema.Int, deactivated: Schema.Int }),
  oldestDueAgeSeconds: Schema.Number.annotations({
    description: "How long the oldest delivery has been due that nothing holds."
  }),
  webhooks: SnakeCase.struct({
    registered: Schema.Number,
    circuits: SnakeCase.struct({ closed: Schema.Number, open: Schema.Int, halfOpen: Schema.Int }),
    deactivated: SnakeCase.struct({ owner: Schema.Int, gone: Schema.Int, failures: Schema.Int })
  }).annotations({ description: "Circuits that are not closed, and what is deactivated, are counted up to 10,000." }),
  partitions: SnakeCase.struct({
    days: Schema.Int,
    oldest: Schema.NullOr(Schema.String),
    newest: Schema.NullOr(Schema.String)
  }).annotations({ description: "Days of UTC that deliveries may be of: those kept, and those made ahead." }),
  database: SnakeCase.struct({ version: Schema.String, sizeBytes: Schema.Number, roundTripMs: Schema.Number }),
  versions: Schema.Struct({ service: Schema.String, node: Schema.String, postgres: Schema.String })
}).annotations({ identifier: "System" })

const Alive = Schema.Struct({ status: Schema.Literal("ok") })

/** Without a key: for probes and scrapers. */
export class ProbesApi extends HttpApiGroup.make("probes", { topLevel: true })
  .add(HttpApiEndpoint.get("healthz", "/healthz").addSuccess(Alive).annotate(OpenApi.Summary, "The process lives"))
  .add(
    HttpApiEndpoint.get("readyz", "/readyz")
      .addSuccess(Alive)
      .addError(Problem.notReady)
      .annotate(OpenApi.Summary, "The service can take requests; a 503 says why it cannot")
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
      .annotate(OpenApi.Summary, "The supervision tree, the queue and what there is in the database (operator)")
  )
  .middleware(Authentication)
{}
