/**
 * Brings due deliveries from Postgres to the DeliveryQueue: what was just published, retries whose time has come, the
 * backlog, and what a dead node left behind.
 *
 * Webhooks ask for a claim: when something was published for them, when the poll's walk finds them, and after a claim
 * that may have left something. Those that the Bulkhead has room for are claimed for in the order in which they asked;
 * the others are asked again when an attempt made room. So no claim looks at what it may not take.
 */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import { randomUUID } from "node:crypto"
import type { WebhookId } from "../domain/Ids.ts"
import { DeliveryStore } from "../persistence/DeliveryStore.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { Signal, Signals, signalsMax } from "../telemetry/Signals.ts"
import { type Allotment, Bulkhead, claimMax } from "./Bulkhead.ts"
import * as Circuits from "./Circuits.ts"
import { makeWatchClocks } from "./Clocks.ts"
import { DeliveryQueue } from "./DeliveryQueue.ts"
import { Supervisor } from "./Supervisor.ts"

export interface SchedulerOptions {
  readonly pollInterval: Duration.DurationInput
  readonly leaseSeconds: number
}

/** Webhooks that ask at once; those beyond are found by the walk, which goes on when there is room. */
const askingMax = 10_000

/**
 * How long it rests, as often as it took, while nothing is published, and beside what is: that waits for the same disk and
 * the same processors, and what is due has waited for longer than it takes.
 */
interface Rests {
  readonly alone: number
  readonly besideFresh: number
}

/** Like outcomes, claims cost the database much the same for one delivery and for ten: after each, room gathers. */
const restsPerClaim: Rests = { alone: 2, besideFresh: 4 }
const restPerClaimMaxMs = 50

/** A step of the walk costs the database more, and brings less: it has a quarter of one connection's time at most. */
const restsPerStep: Rests = { alone: 3, besideFresh: 12 }

/** What was published within so many milliseconds is taken for what goes on. */
const freshWithinMs = 1_000

const restOf = (queue: DeliveryQueue["Type"], { alone, besideFresh }: Rests): Effect.Effect<number> =>
  Effect.map(queue.hadFreshWithin(freshWithinMs), (isBesideFresh) => isBesideFresh ? besideFresh : alone)

/** Between sweeps that other nodes ask for. */
const demandsApart = "1 second"

/** Webhooks that may have something due, in the order in which they asked. */
type Asking = Set<WebhookId>

const ask = (asking: Asking, webhooks: Iterable<WebhookId>): void => {
  for (const webhook of webhooks) {
    if (asking.size >= askingMax) return
    asking.add(webhook)
  }
}

export const layer = (options: SchedulerOptions) =>
  Layer.scopedDiscard(
    Effect.gen(function*() {
      const supervisor = yield* Supervisor
      const asking: Asking = new Set()
      const claimAll = yield* makeClaimAll(options, asking)
      const { sweeps, walks, wakeups } = yield* makeWakeups(asking)
      const { tidy, walk } = yield* makeSweep(asking, wakeups)

      const swept = (self: Effect.Effect<unknown, PersistenceError>) =>
        self.pipe(
          Effect.catchTag(
            "PersistenceError",
            (error) => Effect.logWarning("sweep failed, the next poll tries again", error)
          ),
          Effect.zipRight(Queue.offer(wakeups, undefined)),
          // Idle polls would flood the traces.
          Effect.withTracerEnabled(false)
        )
      const look = swept(Effect.zipRight(tidy, Queue.offer(walks, undefined)))
      // Apart from the polls, and one at a time: with many webhooks it takes long, and what a dead node left has to come back.
      const walking = Effect.forever(Effect.zipRight(Queue.take(walks), swept(walk)))
      const poll = Effect.repeat(look, Schedule.spaced(options.pollInterval).pipe(Schedule.jittered)).pipe(
        Effect.zipRight(Effect.never)
      )
      // However often other nodes ask for one.
      const onDemand = Queue.take(sweeps).pipe(Effect.zipRight(look), Effect.zipRight(Effect.sleep(demandsApart)))

      const claims = Queue.take(wakeups).pipe(
        Effect.zipRight(claimAll),
        Effect.catchTag(
          "PersistenceError",
          (error) => Effect.logWarning("claim failed, the next poll tries again", error)
        ),
        Effect.withTracerEnabled(false),
        Effect.forever
      )

      yield* supervisor.supervise(
        "Scheduler",
        Effect.all([claims, poll, walking, Effect.forever(onDemand)], { concurrency: "unbounded" }).pipe(
          Effect.zipRight(Effect.never)
        )
      )
    })
  )

/**
 * One place for a wake-up to wait in: however many come mean the same, look again. An attempt that ended makes room,
 * which is news only while somebody asks for it.
 */
const makeWakeups = (asking: Asking) =>
  Effect.gen(function*() {
    const wakeups = yield* Effect.acquireRelease(Queue.sliding<void>(1), Queue.shutdown)
    const sweeps = yield* Effect.acquireRelease(Queue.sliding<void>(1), Queue.shutdown)
    const walks = yield* Effect.acquireRelease(Queue.sliding<void>(1), Queue.shutdown)
    const signals = yield* PubSub.subscribe(yield* Signals)
    const hear = Effect.map(Queue.takeBetween(signals, 1, signalsMax), (heard) => {
      for (const signal of heard) {
        if (signal._tag !== "WorkArrived" && signal._tag !== "WorkAnnounced") continue
        ask(asking, signal.webhookIds)
        const isAny = signal._tag === "WorkAnnounced" && signal.webhookIds.length === 0
        if (isAny) Queue.unsafeOffer(sweeps, undefined)
      }
      if (asking.size > 0) Queue.unsafeOffer(wakeups, undefined)
    })
    yield* Effect.forkScoped(Effect.forever(hear))
    return { sweeps, walks, wakeups }
  })

/** What no signal told of: leases that ran out, pauses of circuits that are over, retries that became due. */
const makeSweep = (asking: Asking, wakeups: Queue.Enqueue<void>) =>
  Effect.gen(function*() {
    const store = yield* DeliveryStore
    const signals = yield* Signals
    const queue = yield* DeliveryQueue
    const watchClocks = yield* makeWatchClocks
    const position = yield* Ref.make<WebhookId | null>(null)

    const step = Effect.gen(function*() {
      const before = yield* Clock.currentTimeMillis
      const { next, webhooks } = yield* store.dueWebhooks(yield* Ref.get(position))
      const took = (yield* Clock.currentTimeMillis) - before
      ask(asking, webhooks)
      yield* Ref.set(position, next)
      if (next === null || asking.size >= askingMax) return false
      // Others want the database, too. Those that were found need not wait for the rest of them.
      yield* Queue.offer(wakeups, undefined)
      yield* Effect.sleep((yield* restOf(queue, restsPerStep)) * took)
      return true
    })

    const tidy = Effect.gen(function*() {
      yield* watchClocks
      const { ended, setAside } = yield* store.reclaimExpired
      if (ended > 0) yield* Effect.logWarning("deliveries of an ended node are due again", { count: ended, setAside })
      if (setAside > 0) yield* PubSub.publish(signals, Signal.OutboxFilled())
    })
    return { tidy, walk: Effect.repeat(step, { while: (again) => again }) }
  })

/**
 * While more deliveries wait for their turn, none are claimed: they would only wait here, in places that publishes could
 * use. As many begin during a claim and the rest after it.
 */
const inLineMax = claimMax.deliveries / 2
/** Until the line is looked at again: no signal tells that it became shorter. */
const inLinePauseMs = 10

/** Claims until nobody who asks has room, or enough wait for their turn. */
const makeClaimAll = (options: SchedulerOptions, asking: Asking) =>
  Effect.gen(function*() {
    const bulkhead = yield* Bulkhead
    const queue = yield* DeliveryQueue
    const claim = yield* makeClaim(options)

    const step = Effect.gen(function*() {
      if ((yield* queue.inLine) > inLineMax) return yield* Effect.as(Effect.sleep(inLinePauseMs), asking.size > 0)
      const allotted = yield* bulkhead.allot(asking)
      if (allotted.length === 0) return false
      // Before the claim: who asks while it is under way asks for the next one.
      for (const { webhookId } of allotted) asking.delete(webhookId)
      const before = yield* Clock.currentTimeMillis
      ask(asking, yield* claim(allotted))
      const took = (yield* Clock.currentTimeMillis) - before
      // What is in hand meanwhile is enough to do: only the first claim after a pause is waited for.
      yield* Effect.sleep(Math.min((yield* restOf(queue, restsPerClaim)) * took, restPerClaimMaxMs))
      return true
    })
    return Effect.repeat(step, { while: (again) => again })
  })

/** Answers the webhooks that gave as many as they were allotted, and so may have more. */
const makeClaim = (options: SchedulerOptions) =>
  Effect.gen(function*() {
    const store = yield* DeliveryStore
    const queue = yield* DeliveryQueue
    const bulkhead = yield* Bulkhead
    const leaseNanos = BigInt(options.leaseSeconds) * 1_000_000_000n

    return (webhooks: ReadonlyArray<Allotment>) =>
      Effect.uninterruptible(Effect.gen(function*() {
        const before = yield* Clock.currentTimeNanos
        const deliveries = yield* store.claim({
          webhooks,
          leaseToken: randomUUID(),
          leaseSeconds: options.leaseSeconds
        }).pipe(Effect.tapErrorCause(() => bulkhead.enter(webhooks, [])))
        const claimed = deliveries.map(({ webhookId }) => webhookId)
        yield* bulkhead.enter(webhooks, claimed)
        // Never waits: the queue takes as many as there are places.
        yield* queue.offerAll(
          deliveries.map((delivery) => ({ delivery, leaseEndsAt: before + leaseNanos, isFresh: false }))
        )
        yield* Metric.set(Metrics.queueDepth, yield* queue.depth)
        // The claim itself gives an open circuit its probe.
        for (const { probe, url } of deliveries) if (probe) yield* Circuits.countEntered(url, "half_open")
        const counts = new Map<WebhookId, number>()
        for (const webhook of claimed) counts.set(webhook, (counts.get(webhook) ?? 0) + 1)
        return webhooks.filter(({ most, webhookId }) => counts.get(webhookId) === most).map(({ webhookId }) =>
          webhookId
        )
      }))
  })
