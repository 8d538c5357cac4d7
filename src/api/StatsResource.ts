/** A webhook's stats as the API shows them. */
import * as Schema from "effect/Schema"
import { ErrorClass } from "../domain/DeliveryError.ts"
import { StatsWindow } from "../domain/WebhookStats.ts"
import * as SnakeCase from "./SnakeCase.ts"

export const StatsQuery = SnakeCase.query({
  window: Schema.optionalWith(
    StatsWindow.annotations({
      description: "The last hour in 5 minutes, day in hours, week in 6 hours, or month in days; `24h` where absent. " +
        "Buckets begin where UTC's hours and days do, and the last one is under way."
    }),
    { default: () => "24h" as const }
  )
})

const latency = Schema.NullOr(Schema.Int)

export const StatsResource = SnakeCase.struct({
  window: StatsWindow,
  from: Schema.DateTimeUtc.annotations({ description: "Where the first bucket begins." }),
  to: Schema.DateTimeUtc,
  bucketSeconds: Schema.Int,
  deliveries: SnakeCase.struct({
    total: Schema.Number,
    delivered: Schema.Number,
    failedPermanent: Schema.Number,
    failedRetryable: Schema.Number,
    pending: Schema.Number
  }).annotations({
    description:
      "`delivered` and `failed_permanent` ended so within the window; `pending` and `failed_retryable` wait " +
      "now, and are counted up to 10,000. One that was sent again by hand counts each time it ends."
  }),
  attempts: Schema.Struct({ total: Schema.Number, succeeded: Schema.Number, failed: Schema.Number }).annotations({
    description: "By the moment at which they were on record."
  }),
  successRate: Schema.NullOr(Schema.Number).annotations({
    description: "Share of the attempts that succeeded, 0 to 1; null where there was none."
  }),
  latencyMs: Schema.Struct({ p50: latency, p95: latency, p99: latency }).annotations({
    description: "Of the attempts, failed ones too, from the DNS question to the end of the answer. Estimated from " +
      "counts in classes that end at 1.41 times their beginning; null where there was none."
  }),
  failures: Schema.Array(SnakeCase.struct({ errorClass: ErrorClass, count: Schema.Number })).annotations({
    description: "Failed attempts by class, the most frequent first."
  }),
  retries: Schema.Struct({ made: Schema.Number, scheduled: Schema.Number }).annotations({
    description: "Attempts that were not their delivery's first, and failed ones after which another was to follow."
  }),
  series: Schema.Array(SnakeCase.struct({
    at: Schema.DateTimeUtc,
    attempts: Schema.Number,
    succeeded: Schema.Number,
    failed: Schema.Number,
    latencyP95: latency
  })).annotations({ description: "Every bucket, oldest first." })
}).annotations({ identifier: "WebhookStats" })
