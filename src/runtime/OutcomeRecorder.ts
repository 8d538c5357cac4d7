/**
 * Writes what came of attempts, as many at once as are waiting. After each write it rests for some times as long, in which
 * the next batch gathers: a statement costs the database much the same for one outcome and for ten. While the database is
 * away it holds a bounded number of outcomes and the workers wait behind them; a lease that another node took up meanwhile
 * makes its outcome void, and the delivery is sent again.
 */
import { partition } from "effect/Array"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Schedule from "effect/Schedule"
import { DeliveryStore } from "../persistence/DeliveryStore.ts"
import { Signal, Signals } from "../telemetry/Signals.ts"
import { makeCircuits } from "./Circuits.ts"
import { LeaseKeeper } from "./LeaseKeeper.ts"
import { type PendingOutcome, PendingOutcomes } from "./PendingOutcomes.ts"
import { Supervisor } from "./Supervisor.ts"

/** The more a write costs, the longer the rest: three quarters of the time, and never so long that anybody would notice. */
const restPerWrite = 3
const restMaxMs = 50

/** A lease that ran out still stands until another node takes it up: an outcome is worth writing for long after. */
const retries = Schedule.exponential("50 millis").pipe(
  Schedule.union(Schedule.spaced("1 second")),
  Schedule.jittered,
  Schedule.upTo("10 minutes")
)

const leasesOf = (batch: ReadonlyArray<PendingOutcome>) => batch.map(({ lease }) => lease)

export class OutcomeRecorder extends Context.Tag("deeper-hub-webhooks/runtime/OutcomeRecorder")<OutcomeRecorder, {
  /** Hands an outcome over, unless too many are pending. A plain step: it ends most attempts. */
  readonly offer: (outcome: PendingOutcome) => boolean
  /** The same; waits while too many are pending. */
  readonly record: (outcome: PendingOutcome) => Effect.Effect<void>
}>() {
  static readonly layer = Layer.scoped(this, Effect.suspend(() => make))
}

const make = Effect.gen(function*() {
  const store = yield* DeliveryStore
  const circuits = yield* makeCircuits
  const keeper = yield* LeaseKeeper
  const signals = yield* Signals
  const supervisor = yield* Supervisor

  const writeBatch = (batch: ReadonlyArray<PendingOutcome>) =>
    Effect.gen(function*() {
      const recorded = yield* store.record(batch.map(({ outcome }) => outcome)).pipe(
        Effect.tapErrorTag("PersistenceError", (error) => Effect.logWarning("outcomes not written yet", error)),
        Effect.retry(retries)
      )
      const [late, written] = partition(batch, ({ outcome }) => recorded.deliveries.has(outcome.deliveryId))
      if (late.length > 0) yield* Effect.logWarning("outcomes refused: their leases had ended", { count: late.length })
      yield* PubSub.publishAll(
        signals,
        written.map(({ outcome, webhookId }) =>
          Signal.AttemptRecorded({ deliveryId: outcome.deliveryId, webhookId, status: outcome.status })
        )
      )
      yield* circuits(recorded.endpoints)
    }).pipe(
      Effect.catchTag("PersistenceError", (error) =>
        Effect.logError("outcomes given up; their deliveries are sent again", { count: batch.length, error })),
      Effect.ensuring(keeper.drop(leasesOf(batch)))
    )

  // A batch that dies of one outcome takes the actor down with it, but first the others are written one by one.
  const write = (batch: ReadonlyArray<PendingOutcome>) =>
    batch.length === 1
      ? writeBatch(batch)
      : Effect.catchAllDefect(writeBatch(batch), (defect) =>
        Effect.zipRight(
          Effect.forEach(batch, (one) => Effect.exit(writeBatch([one])), { discard: true }),
          Effect.die(defect)
        ))

  const pending = new PendingOutcomes()
  // What is still pending when the workers are done is written before the pools close.
  yield* Effect.addFinalizer(() =>
    Effect.whileLoop({
      while: () => pending.size > 0,
      // One that dies has written what it could; the others are still to come.
      body: () =>
        Effect.catchAllCause(
          write(pending.take()),
          (cause) => Effect.logError("outcomes not written at the end", cause)
        ),
      step: constVoid
    })
  )

  /** Writes the next batch, and answers how long it rests: not at all while there is more than one batch may hold. */
  const writeNext = Effect.gen(function*() {
    const batch = pending.take()
    const isAll = pending.size === 0
    const before = yield* Clock.currentTimeMillis
    yield* write(batch)
    const took = (yield* Clock.currentTimeMillis) - before
    return isAll && !pending.isBatchFull ? Math.min(restPerWrite * took, restMaxMs) : 0
  })

  const step = Effect.uninterruptibleMask((restore) =>
    restore(pending.some).pipe(
      Effect.zipRight(writeNext),
      Effect.flatMap((restMs) => restMs > 0 ? restore(Effect.sleep(restMs)) : Effect.void)
    )
  )

  yield* supervisor.supervise("OutcomeRecorder", Effect.forever(step))

  return OutcomeRecorder.of({
    offer: (outcome) => pending.offer(outcome),
    record: (outcome) => pending.add(outcome)
  })
})
