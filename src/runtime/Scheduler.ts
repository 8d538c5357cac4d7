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
      const starved = yield* Ref.make(false)
      const claimAll = yield* makeClaimAll(options, starved)
      const wakeups = yield* makeWakeups(starved)

      const sweep = Effect.gen(function*() {
        const reclaimed = yield* store.reclaimExpired
        if (reclaimed > 0) yield* Effect.logWarning("deliveries of an ended node are due again", { count: reclaimed })
        yield* store.releaseHolds
      })

      const poll = sweep.pipe(
        Effect.catchTag("PersistenceError", (error) =>
          Effect.logWarning("sweep failed, the next poll tries again", error)),
        Effect.zipRight(Queue.offer(wakeups, undefined)),
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

/**
 * One place for a wake-up to wait in: any number of them mean the same, look again. An attempt that ended makes room,
 * which is news only if there was none.
 */
const makeWakeups = (starved: Ref.Ref<boolean>) =>
  Effect.gen(function*() {
    const wakeups = yield* Effect.acquireRelease(Queue.sliding<void>(1), Queue.shutdown)
    yield* Stream.fromPubSub(yield* Signals).pipe(
      Stream.filterEffect((signal) => signal._tag === "WorkArrived" ? Effect.succeed(true) : Ref.get(starved)),
      Stream.runForEach(() => Queue.offer(wakeups, undefined)),
      Effect.forkScoped
    )
    return wakeups
  })

/** Claims until every webhook was visited and has nothing due, or until nothing fits. */
const makeClaimAll = (options: SchedulerOptions, starved: Ref.Ref<boolean>) =>
  Effect.gen(function*() {
    const queue = yield* DeliveryQueue
    const claim = yield* makeClaim(options)
    const position = yield* Ref.make<WebhookId | null>(null)
    // Some webhook of this walk gave its share and may have more: another walk follows.
    const owed = yield* Ref.make(false)

    const step = Effect.gen(function*() {
      const limit = Math.min(yield* queue.room, claimMax)
      yield* Ref.set(starved, limit <= 0)
      if (limit <= 0) return false
      const { full, next } = yield* claim(limit, yield* Ref.get(position))
      yield* Ref.set(position, next)
      const more = full || (yield* Ref.get(owed))
      yield* Ref.set(owed, next !== null && more)
      return more || next !== null
    })
    const pass = Effect.repeat(step, { while: (again) => again })

    // A walk that was cut short for want of room began somewhere in the middle: the webhooks before that come after it.
    return Effect.flatMap(Ref.get(position), (began) => began === null ? pass : Effect.zipRight(pass, pass))
  })

const makeClaim = (options: SchedulerOptions) =>
  Effect.gen(function*() {
    const store = yield* DeliveryStore
    const queue = yield* DeliveryQueue
    const leaseNanos = BigInt(options.leaseSeconds) * 1_000_000_000n

    return (limit: number, after: WebhookId | null) =>
      Effect.uninterruptible(Effect.gen(function*() {
        const before = yield* Clock.currentTimeNanos
        const leaseToken = randomUUID()
        const claimed = yield* store.claim({ limit, leaseToken, leaseSeconds: options.leaseSeconds, after })
        // Never waits: this fiber alone puts in, and asked for no more than fits.
        yield* queue.offerAll(claimed.deliveries.map((delivery) => ({ delivery, leaseEndsAt: before + leaseNanos })))
        yield* Metric.set(Metrics.queueDepth, yield* queue.depth)
        return claimed
      }))
  })
