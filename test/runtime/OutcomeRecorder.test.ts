import { assert, describe, it } from "@effect/vitest"
import { Chunk, Deferred, Effect, Exit, Fiber, Layer, Option, PubSub, Queue, Ref, Scope, TestClock } from "effect"
import { CircuitStore } from "../../src/persistence/CircuitStore.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import type { Outcome, Recorded } from "../../src/persistence/Outcomes.ts"
import { PersistenceError } from "../../src/persistence/Postgres.ts"
import { LeaseKeeper } from "../../src/runtime/LeaseKeeper.ts"
import { OutcomeRecorder } from "../../src/runtime/OutcomeRecorder.ts"
import type { PendingOutcome } from "../../src/runtime/PendingOutcomes.ts"
import { Supervisor } from "../../src/runtime/Supervisor.ts"
import { Signal, Signals } from "../../src/telemetry/Signals.ts"
import { claimed } from "../support/Deliveries.ts"
import * as Rows from "../support/Rows.ts"

type Record = DeliveryStore["Type"]["record"]

const Actors = (record: Record) =>
  OutcomeRecorder.layer.pipe(
    Layer.provide(Layer.mock(DeliveryStore, { record })),
    Layer.provide(Layer.mock(CircuitStore, {})),
    Layer.provide(Layer.mock(LeaseKeeper, { keep: () => assert.fail("kept twice"), drop: () => Effect.void })),
    Layer.provideMerge(Layer.merge(Signals.layer, Supervisor.layer))
  )

const pendingWith = (change?: Partial<Outcome>): Effect.Effect<PendingOutcome> =>
  Effect.gen(function*() {
    const delivery = yield* claimed()
    const { id, leaseToken, webhookId } = delivery
    const outcome = yield* Rows.outcome(delivery, change)
    return { webhookId, outcome, lease: { id, leaseToken, since: 0n, isDropped: false } }
  })

const pending = pendingWith()

const recordAll = (outcomes: ReadonlyArray<PendingOutcome>) =>
  Effect.flatMap(OutcomeRecorder, (recorder) => Effect.forEach(outcomes, recorder.record, { discard: true }))

const idsOf = (outcomes: ReadonlyArray<Outcome>) => outcomes.map(({ deliveryId }) => deliveryId)

/** All of them, and nothing to decide on. */
const written = (outcomes: ReadonlyArray<Outcome>): Recorded => ({
  deliveries: new Set(idsOf(outcomes)),
  endpoints: []
})

const away = new PersistenceError({ operation: "DeliveryStore.record", cause: "away" })

/** A store that shows each batch and waits for leave to answer that all of it was written. */
const gated = Effect.gen(function*() {
  const batches = yield* Queue.unbounded<ReadonlyArray<Outcome>>()
  const leave = yield* Queue.unbounded<void>()
  const record: Record = (outcomes) =>
    Queue.offer(batches, outcomes).pipe(
      Effect.zipRight(Queue.take(leave)),
      Effect.as(written(outcomes))
    )
  return { batches, let: Queue.offer(leave, undefined), record }
})

describe("OutcomeRecorder", () => {
  it.scoped("writes at once what came while it was writing, a thousand at most", () =>
    Effect.gen(function*() {
      const store = yield* gated
      const outcomes = yield* Effect.replicateEffect(pending, 1_202)
      yield* Effect.gen(function*() {
        yield* recordAll(outcomes.slice(0, 1))
        assert.lengthOf(yield* Queue.take(store.batches), 1)
        yield* recordAll(outcomes.slice(1))
        yield* store.let
        assert.lengthOf(yield* Queue.take(store.batches), 1_000)
        yield* store.let
        const last = yield* Queue.take(store.batches)
        assert.deepStrictEqual(idsOf(last), idsOf(outcomes.slice(1_001).map(({ outcome }) => outcome)))
        yield* store.let
      }).pipe(Effect.provide(Actors(store.record)))
    }))

  it.scoped("rests for three times as long as a write took, unless a batch is waiting", () =>
    Effect.gen(function*() {
      const store = yield* gated
      const ended = yield* Queue.unbounded<void>()
      const record: Record = (outcomes) =>
        store.record(outcomes).pipe(
          Effect.zipLeft(TestClock.adjust("10 millis")),
          Effect.zipLeft(Queue.offer(ended, undefined))
        )
      const end = Effect.zipRight(store.let, Queue.take(ended))
      const outcomes = yield* Effect.replicateEffect(pending, 1_003)
      yield* Effect.gen(function*() {
        yield* recordAll(outcomes.slice(0, 1))
        assert.lengthOf(yield* Queue.take(store.batches), 1)
        yield* recordAll(outcomes.slice(1, 2))
        yield* end
        yield* TestClock.adjust("29 millis")
        assert.isTrue(Option.isNone(yield* Queue.poll(store.batches)))
        yield* TestClock.adjust("1 millis")
        assert.lengthOf(yield* Queue.take(store.batches), 1)
        yield* recordAll(outcomes.slice(2))
        yield* end
        assert.lengthOf(yield* Queue.take(store.batches), 1_000)
        yield* end
        assert.lengthOf(yield* Queue.take(store.batches), 1)
        yield* end
      }).pipe(Effect.provide(Actors(record)))
    }))

  it.scoped("writes 4 MiB of answers at once at most, and one that is larger alone", () =>
    Effect.gen(function*() {
      const store = yield* gated
      const withAnswer = (bytes: number) =>
        pendingWith({
          exchange: { ...Rows.exchange(200), headers: { h: "h".repeat(bytes - 1) }, body: new Uint8Array(bytes) }
        })
      const sizes = [1, ...Array.from({ length: 300 }, () => 16_384), 3_000_000, 1]
      const outcomes = yield* Effect.forEach(sizes, withAnswer)
      yield* Effect.gen(function*() {
        yield* recordAll(outcomes.slice(0, 1))
        assert.lengthOf(yield* Queue.take(store.batches), 1)
        yield* recordAll(outcomes.slice(1))
        const counts: Array<number> = []
        for (let left = outcomes.length - 1; left > 0;) {
          yield* store.let
          const batch = yield* Queue.take(store.batches)
          counts.push(batch.length)
          left -= batch.length
        }
        assert.deepStrictEqual(counts, [128, 128, 44, 1, 1])
        yield* store.let
      }).pipe(Effect.provide(Actors(store.record)))
    }))

  it.scoped("makes the workers wait while 16 MiB of answers are pending", () =>
    Effect.gen(function*() {
      const store = yield* gated
      const large = { exchange: { ...Rows.exchange(200), headers: {}, body: new Uint8Array(4_194_304) } }
      const outcomes = yield* Effect.replicateEffect(pendingWith(large), 6)
      yield* Effect.gen(function*() {
        yield* recordAll(outcomes.slice(0, 1))
        yield* Queue.take(store.batches)
        const { offer } = yield* OutcomeRecorder
        assert.deepStrictEqual(outcomes.slice(1).map(offer), [true, true, true, true, false])
        const waiting = yield* Effect.fork(recordAll(outcomes.slice(5)))
        yield* store.let
        assert.lengthOf(yield* Queue.take(store.batches), 1)
        yield* Fiber.join(waiting)
        yield* Effect.replicateEffect(store.let, 5)
      }).pipe(Effect.provide(Actors(store.record)))
    }))

  it.scoped("makes the workers wait while two thousand outcomes are pending", () =>
    Effect.gen(function*() {
      const store = yield* gated
      const outcomes = yield* Effect.replicateEffect(pending, 2_002)
      yield* Effect.gen(function*() {
        yield* recordAll(outcomes.slice(0, 1))
        yield* Queue.take(store.batches)
        const { offer } = yield* OutcomeRecorder
        assert.isTrue(outcomes.slice(1, 2_001).every(offer))
        assert.isFalse(outcomes.slice(2_001).some(offer), "there is no more room")
        const waiting = yield* Effect.fork(recordAll(outcomes.slice(2_001)))
        yield* TestClock.adjust("1 second")
        assert.isTrue(Option.isNone(yield* Fiber.poll(waiting)))
        yield* store.let
        yield* TestClock.adjust("50 millis")
        yield* Queue.take(store.batches)
        yield* Fiber.join(waiting)
        yield* Effect.replicateEffect(store.let, 3)
      }).pipe(Effect.provide(Actors(store.record)))
    }))

  it.scoped("tries again while the database is away, and announces the outcome once it is written", () =>
    Effect.gen(function*() {
      const tries = yield* Ref.make(0)
      const record: Record = (outcomes) =>
        Effect.flatMap(
          Ref.updateAndGet(tries, (n) => n + 1),
          (n) => n < 8 ? Effect.fail(away) : Effect.succeed(written(outcomes))
        )
      yield* Effect.gen(function*() {
        const heard = yield* PubSub.subscribe(yield* Signals)
        const one = yield* pending
        const { outcome, webhookId } = one
        yield* recordAll([one])
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* Ref.get(tries), 8)
        assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Queue.takeAll(heard)), [
          Signal.AttemptRecorded({ deliveryId: outcome.deliveryId, webhookId, status: "delivered" })
        ])
      }).pipe(Effect.provide(Actors(record)))
    }))

  it.scoped("gives an outcome up when no lease can stand any more, and goes on with the next", () =>
    Effect.gen(function*() {
      const isAway = yield* Ref.make(true)
      const batches = yield* Queue.unbounded<ReadonlyArray<Outcome>>()
      const record: Record = (outcomes) =>
        Effect.flatMap(Ref.get(isAway), (failing) =>
          failing
            ? Effect.fail(away)
            : Effect.as(Queue.offer(batches, outcomes), written(outcomes)))
      yield* Effect.gen(function*() {
        const [lost, next] = [yield* pending, yield* pending]
        yield* recordAll([lost])
        yield* TestClock.adjust("11 minutes")
        yield* Ref.set(isAway, false)
        yield* recordAll([next])
        assert.deepStrictEqual(idsOf(yield* Queue.take(batches)), [next.outcome.deliveryId])
        const [actor] = yield* Effect.flatMap(Supervisor, (supervisor) => supervisor.actors)
        assert.deepInclude(actor, { name: "OutcomeRecorder", state: "running", restarts: 0 })
      }).pipe(Effect.provide(Actors(record)))
    }))

  it.scoped("announces no outcome whose lease had ended", () =>
    Effect.gen(function*() {
      const [stale, good] = [yield* pending, yield* pending]
      const record: Record = () => Effect.succeed(written([good.outcome]))
      yield* Effect.gen(function*() {
        const heard = yield* PubSub.subscribe(yield* Signals)
        yield* recordAll([stale, good])
        yield* TestClock.adjust("1 second")
        const signals = Chunk.toReadonlyArray(yield* Queue.takeAll(heard))
        assert.deepStrictEqual(
          signals.map((signal) => signal._tag === "AttemptRecorded" ? signal.deliveryId : signal),
          [good.outcome.deliveryId]
        )
      }).pipe(Effect.provide(Actors(record)))
    }))

  it.effect("writes what is still pending before it closes", () =>
    Effect.gen(function*() {
      const store = yield* gated
      const outcomes = yield* Effect.replicateEffect(pending, 4)
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Actors(store.record), scope)
      yield* recordAll(outcomes.slice(0, 1)).pipe(Effect.provide(context))
      const first = yield* Queue.take(store.batches)
      yield* recordAll(outcomes.slice(1)).pipe(Effect.provide(context))
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* store.let
      const rest = yield* Queue.take(store.batches)
      yield* TestClock.adjust("1 second")
      assert.isTrue(Option.isNone(yield* Fiber.poll(closing)), "it waits for the write")
      yield* store.let
      yield* Fiber.join(closing)
      assert.deepStrictEqual(idsOf([...first, ...rest]), idsOf(outcomes.map(({ outcome }) => outcome)))
    }))

  it.effect("writes all that is pending before it closes, also past a batch that dies of one of them", () =>
    Effect.gen(function*() {
      const store = yield* gated
      const outcomes = yield* Effect.replicateEffect(pending, 1_602)
      const bad = outcomes[1]?.outcome
      const written: Array<string> = []
      const record: Record = (batch) =>
        batch.some((one) => one === bad)
          ? Effect.dieMessage("a bug")
          : Effect.tap(store.record(batch), () => void written.push(...idsOf(batch)))
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Actors(record), scope)
      yield* recordAll(outcomes.slice(0, 1)).pipe(Effect.provide(context))
      yield* Queue.take(store.batches)
      yield* recordAll(outcomes.slice(1)).pipe(Effect.provide(context))
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* Effect.replicateEffect(store.let, 1_601)
      yield* Fiber.join(closing)
      const good = outcomes.flatMap(({ outcome }) => outcome === bad ? [] : [outcome])
      assert.sameMembers(written, idsOf(good))
    }))

  it.scoped("is restarted after a bug, and writes what comes then", () =>
    Effect.gen(function*() {
      const died = yield* Deferred.make<void>()
      const batches = yield* Queue.unbounded<ReadonlyArray<Outcome>>()
      const record: Record = (outcomes) =>
        Effect.flatMap(Deferred.succeed(died, undefined), (first) =>
          first
            ? Effect.dieMessage("a bug")
            : Effect.as(Queue.offer(batches, outcomes), written(outcomes)))
      yield* Effect.gen(function*() {
        const [lost, next] = [yield* pending, yield* pending]
        yield* recordAll([lost])
        yield* Deferred.await(died)
        yield* recordAll([next])
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(idsOf(yield* Queue.take(batches)), [next.outcome.deliveryId])
        const [actor] = yield* Effect.flatMap(Supervisor, (supervisor) => supervisor.actors)
        assert.deepInclude(actor, { state: "running", restarts: 1 })
      }).pipe(Effect.provide(Actors(record)))
    }))
})
