/**
 * Keeps the day partitions ahead of time, drops those past the retention, keeps the stats small, and forgets idempotency
 * keys and previous secrets past their time. It may be away for a week, or for a month: a round begins with the start, and does what is
 * there to be done, however much that is.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { EventStore } from "../persistence/EventStore.ts"
import { Partitions } from "../persistence/Partitions.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import { Retention, type RetentionChange } from "../persistence/Retention.ts"
import { StatsStore } from "../persistence/StatsStore.ts"
import { WebhookStore } from "../persistence/WebhookStore.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { Supervisor } from "./Supervisor.ts"

export interface CleanupOptions {
  /** Whole days for which events, deliveries and attempts are kept. */
  readonly retentionDays: number
}

/** Partitions reach two weeks ahead, so a round may be missed many times over. */
const interval = "1 hour"

export const layer = (options: CleanupOptions) =>
  Layer.scopedDiscard(
    Effect.gen(function*() {
      const supervisor = yield* Supervisor
      const round = yield* makeRound(options)
      yield* supervisor.supervise(
        "CleanupWorker",
        Effect.repeat(round, Schedule.spaced(interval)).pipe(Effect.zipRight(Effect.never))
      )
    })
  )

/** One round. What fails keeps nothing else from being done, and is tried again in the next. */
export const makeRound = (options: CleanupOptions) =>
  Effect.gen(function*() {
    const events = yield* EventStore
    const partitions = yield* Partitions
    const retention = yield* Retention
    const stats = yield* StatsStore
    const webhooks = yield* WebhookStore
    return Effect.all([
      attempt("making partitions ahead", partitions.ensure),
      attempt("forgetting idempotency keys", events.expireIdempotencyKeys),
      attempt("forgetting previous secrets", webhooks.expirePreviousSecrets),
      attempt("keeping the stats small", stats.sweep),
      attempt("dropping what is past the retention", Stream.runForEach(retention.enforce(options.retentionDays), tell))
    ], { discard: true }).pipe(Effect.withTracerEnabled(false))
  })

const attempt = <A>(what: string, part: Effect.Effect<A, PersistenceError>) =>
  Effect.catchTag(
    part,
    "PersistenceError",
    (error) => Effect.logWarning(`${what} failed, the next round tries again`, error)
  )

const tell = (change: RetentionChange) => {
  const { _tag, ...what } = change
  switch (_tag) {
    case "Dropped":
      return Metric.increment(Metric.tagged(Metrics.partitionsDropped, "table", change.table)).pipe(
        Effect.zipRight(Effect.logInfo("a day past the retention is dropped", what))
      )
    case "Kept":
      return Effect.logWarning("a day past the retention is kept: deliveries still wait in it", what)
    case "Restored":
      return Effect.logWarning("a day that was being dropped is needed, and there again", what)
  }
}
