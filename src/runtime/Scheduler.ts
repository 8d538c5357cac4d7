/**
 * Brings due deliveries from Postgres to the DeliveryQueue: what was just published, retries whose time has come, the
 * backlog, and what a dead node left behind. A signal wakes it at once; the poll finds what no signal told of.
 */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Queue from "effect/Queue"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { randomUUID } from "node:crypto"
import type { WebhookId } from "../domain/Ids.ts"
import { DeliveryStore } from "../persistence/DeliveryStore.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { Signals } from "../telemetry/Signals.ts"
import { DeliveryQueue } from "./DeliveryQueue.ts"
import { Supervisor } from "./Supervisor.ts"

export interface SchedulerOptions {
  readonly pollInterval: Duration.DurationInput
  readonly leaseSeconds: number
}

/** At most this many deliveries a claim: the store's own bound. */
const claimMax = 500

export const layer = (options: SchedulerOptions) =>
  Layer.scopedDiscard(
    Effect.gen(function*() {
      const store = yield* DeliveryStore
      const supervisor = yield* Supervisor
      const claimAll = yield* makeClaimAll(options)
      const wakeups = yield* makeWakeups

      const sweep = Effect.gen(function*() {
        const reclaimed = yield* store.reclaimExpired
        if (reclaimed > 0) yield* Effect.logWarning("deliveries of an ended node are due again", { count: reclaimed })
        yield* store.releaseHolds
      })

      const poll = Effect.zipRight(sweep, Queue.offer(wakeups, undefined)).pipe(
        Effect.catchTag("PersistenceError", (error) =>
          Effect.logWarning("sweep failed, the next poll tries again", error)),
        // Idle polls would flood the traces.
        Effect.withTracerEnabled(false),
        Effect.repeat(Schedule.spaced(options.pollInterval).pipe(Schedule.jittered)),
        Effect.zipRight(Effect.never)
      )

      const claims = Queue.take(wakeups).pipe(
        Effect.zipRight(claimAll),
        Effect.catchTag("PersistenceError", (error) =>
          Effect.logWarning("claim failed, the next poll tries again", error)),
        Effect.withTracerEnabled(false),
        Effect.forever
      )

      yield* supervisor.supervise(
        "Scheduler",
        Effect.zipRight(Effect.zip(claims, poll, { concurrent: true }), Effect.never)
      )
    })
  )

/** One place for a wake-up to wait in: any number of them mean the same, look again. */
const makeWakeups = Effect.gen(function*() {
  const wakeups = yield* Effect.acquireRelease(Queue.sliding<void>(1), Queue.shutdown)
  yield* Stream.fromPubSub(yield* Signals).pipe(
    Stream.runForEach(() => Queue.offer(wakeups, undefined)),
    Effect.forkScoped
  )
  return wakeups
})

/** Claims until nothing is due or nothing fits. */
const makeClaimAll = (options: SchedulerOptions) =>
  Effect.gen(function*() {
    const store = yield* DeliveryStore
    const queue = yield* DeliveryQueue
    const position = yield* Ref.make<WebhookId | null>(null)
    const leaseNanos = BigInt(options.leaseSeconds) * 1_000_000_000n

    const claim = Effect.uninterruptible(Effect.gen(function*() {
      const limit = Math.min(yield* queue.room, claimMax)
      if (limit <= 0) return false
      const before = yield* Clock.currentTimeNanos
      const after = yield* Ref.get(position)
      const { deliveries, next } = yield* store.claim({
        limit,
        leaseToken: randomUUID(),
        leaseSeconds: options.leaseSeconds,
        after
      })
      yield* Ref.set(position, next)
      // Never waits: this fiber alone puts in, and asked for no more than fits.
      yield* queue.offerAll(deliveries.map((delivery) => ({ delivery, leaseEndsAt: before + leaseNanos })))
      yield* Metric.set(Metrics.queueDepth, yield* queue.depth)
      return deliveries.length > 0 || next !== null || after !== null
    }))

    return Effect.repeat(claim, { while: (more) => more })
  })
