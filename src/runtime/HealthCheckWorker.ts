/**
 * Pings endpoints that heard nothing from us for a while, so that it is known how they are before the next delivery finds
 * out. A check that fails is shown and no more: it is no failed attempt.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { HealthStore, type PingTarget } from "../persistence/HealthStore.ts"
import { Probe } from "../service/Probe.ts"
import { Supervisor } from "./Supervisor.ts"

export interface HealthCheckOptions {
  /** How long an endpoint may hear nothing. Zero: nobody is pinged. */
  readonly interval: Duration.DurationInput
}

/** What a second may bring, however many are due: a hundred thousand webhooks take their turns, they do not come at once. */
const most = 200
const concurrency = 32
const tick = "1 second"

export const layer = (options: HealthCheckOptions) =>
  Duration.toMillis(options.interval) === 0 ? Layer.empty : Layer.scopedDiscard(
    Effect.gen(function*() {
      const supervisor = yield* Supervisor
      const runOnce = yield* make(options)
      yield* supervisor.supervise(
        "HealthCheckWorker",
        Effect.repeat(runOnce, Schedule.spaced(tick).pipe(Schedule.jittered)).pipe(Effect.zipRight(Effect.never))
      )
    })
  )

/** One page of those whose time has come. */
export const make = (options: HealthCheckOptions) =>
  Effect.gen(function*() {
    const store = yield* HealthStore
    const probe = yield* Probe

    const check = (target: PingTarget) =>
      Effect.withTracerEnabled(probe.ping(target), true).pipe(
        // A bug that one webhook brings out is not to keep the others from being checked.
        Effect.catchAllDefect((defect) => Effect.logError("a check died", defect)),
        Effect.annotateLogs({ webhookId: target.id })
      )

    return Effect.gen(function*() {
      const { targets } = yield* store.takeDue({ intervalMs: Duration.toMillis(options.interval), most })
      yield* Effect.forEach(targets, check, { concurrency, discard: true })
    }).pipe(
      Effect.catchTag("PersistenceError", (error) =>
        Effect.logWarning("health checks failed, the next round tries again", error)),
      Effect.withTracerEnabled(false)
    )
  })
