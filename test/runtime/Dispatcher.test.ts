import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Option, Queue, Ref, Scope, TestClock } from "effect"
import { unsent } from "../../src/domain/Attempt.ts"
import { RetryableFailure } from "../../src/domain/DeliveryError.ts"
import type { ClaimedDelivery } from "../../src/persistence/Claim.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import { PersistenceError } from "../../src/persistence/Postgres.ts"
import { Bulkhead } from "../../src/runtime/Bulkhead.ts"
import { DeliveryQueue, type LeasedDelivery } from "../../src/runtime/DeliveryQueue.ts"
import * as Dispatcher from "../../src/runtime/Dispatcher.ts"
import { LeaseKeeper } from "../../src/runtime/LeaseKeeper.ts"
import { OutcomeRecorder, type PendingOutcome } from "../../src/runtime/OutcomeRecorder.ts"
import { Supervisor } from "../../src/runtime/Supervisor.ts"
import { Courier } from "../../src/service/Courier.ts"
import { leased } from "../support/Deliveries.ts"
import * as Rows from "../support/Rows.ts"

type Deliver = Courier["Type"]["deliver"]
type Release = DeliveryStore["Type"]["release"]

interface Parts {
  readonly deliver: Deliver
  readonly concurrency?: number
  readonly release?: Release
}

const places = 64

/** What came of a claim: the places are taken, the deliveries in the queue. */
const claim = (...deliveries: ReadonlyArray<LeasedDelivery>) =>
  Effect.gen(function*() {
    const bulkhead = yield* Bulkhead
    yield* bulkhead.enter([], deliveries.map(({ delivery }) => delivery.webhookId))
    yield* offer(...deliveries)
  })

const free = Effect.flatMap(Bulkhead, (bulkhead) => bulkhead.free)

/** The dispatcher between a queue and a recorder that keeps what it is told. */
const pool = ({ concurrency = 2, deliver, release = () => Effect.void }: Parts) =>
  Effect.gen(function*() {
    const outcomes = yield* Queue.unbounded<PendingOutcome>()
    const layer = Dispatcher.layer({
      concurrency,
      retryPolicy: { baseDelayMs: 10_000, maxDelayMs: 43_200_000, backoffFactor: 6 }
    }).pipe(
      Layer.provideMerge(DeliveryQueue.layer(16)),
      Layer.provideMerge(Bulkhead.layer({ places, placesPerWebhook: places })),
      Layer.provide(Layer.succeed(OutcomeRecorder, {
        record: (outcome) => Effect.asVoid(Queue.offer(outcomes, outcome))
      })),
      Layer.provide(Layer.mock(LeaseKeeper, { keep: () => Effect.void, drop: () => Effect.void })),
      Layer.provide(Layer.mock(DeliveryStore, { release })),
      Layer.provide(Layer.succeed(Courier, { deliver })),
      Layer.provideMerge(Supervisor.layer)
    )
    return { layer, outcomes }
  })

const offer = (...deliveries: ReadonlyArray<LeasedDelivery>) =>
  Effect.flatMap(DeliveryQueue, (queue) => queue.offerAll(deliveries))

const restarts = Effect.flatMap(
  Supervisor,
  (supervisor) => Effect.map(supervisor.actors, (actors) => actors.map((actor) => actor.restarts))
)

const ok = Rows.exchange(200)

const refused = (of: RetryableFailure["class"] = "connect_refused") =>
  new RetryableFailure({ class: of, message: "refused", retryAfterMs: null, exchange: unsent(7) })

describe("Dispatcher", () => {
  it.scoped("hands the courier all that it needs, and the attempt's outcome to the recorder", () =>
    Effect.gen(function*() {
      const parcels = yield* Queue.unbounded<Parameters<Deliver>[0]>()
      const { layer, outcomes } = yield* pool({ deliver: (parcel) => Effect.as(Queue.offer(parcels, parcel), ok) })
      yield* Effect.gen(function*() {
        const one = yield* leased(30, { timeoutMs: 1_234 })
        yield* offer(one)
        const parcel = yield* Queue.take(parcels)
        const { body, clientId, eventType, headersSealed, id, secretSealed, signatures, url, webhookId } = one.delivery
        const wanted = { body, clientId, eventType, headersSealed, secretSealed, signatures, url, webhookId }
        assert.deepInclude(parcel, { ...wanted, deliveryId: id, timeoutMs: 1_234 })
        const { outcome, webhookId: counted } = yield* Queue.take(outcomes)
        assert.strictEqual(counted, webhookId)
        assert.deepInclude(outcome, { deliveryId: id, leaseToken: one.delivery.leaseToken, exchange: ok })
      }).pipe(Effect.provide(layer))
    }))

  it.effect("lets an attempt under way finish before it closes, and its outcome reach the recorder", () =>
    Effect.gen(function*() {
      const started = yield* Deferred.make<void>()
      const { layer, outcomes } = yield* pool({
        deliver: () => Effect.zipRight(Deferred.succeed(started, undefined), Effect.delay(Effect.succeed(ok), 5_000))
      })
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(layer, scope)
      yield* Effect.flatMap(leased(), (one) => offer(one)).pipe(Effect.provide(context))
      yield* Deferred.await(started)
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("4900 millis")
      assert.isTrue(Option.isNone(yield* Fiber.poll(closing)))
      assert.strictEqual(yield* Queue.size(outcomes), 0)
      yield* TestClock.adjust("100 millis")
      yield* Fiber.join(closing)
      assert.strictEqual((yield* Queue.take(outcomes)).outcome.status, "delivered")
    }))

  it.effect("begins no attempt while it closes: what is left goes back", () =>
    Effect.gen(function*() {
      const released = yield* Ref.make<Parameters<Release>[0]>([])
      const started = yield* Ref.make(0)
      const { layer, outcomes } = yield* pool({
        concurrency: 1,
        deliver: () => Effect.zipRight(Ref.update(started, (n) => n + 1), Effect.delay(Effect.succeed(ok), 1_000)),
        release: (deliveries) => Ref.set(released, deliveries)
      })
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(layer, scope)
      const all = yield* Effect.replicateEffect(leased(), 3)
      yield* offer(...all).pipe(Effect.provide(context))
      yield* TestClock.adjust("100 millis")
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(closing)
      assert.strictEqual(yield* Ref.get(started), 1)
      assert.strictEqual(yield* Queue.size(outcomes), 1)
      assert.deepStrictEqual(yield* Ref.get(released), all.slice(1).map(({ delivery }) => delivery))
    }))

  it.scoped("never has more attempts under way than it may, and as many where there is work", () =>
    Effect.gen(function*() {
      const [now, most] = [yield* Ref.make(0), yield* Ref.make(0)]
      const { layer, outcomes } = yield* pool({
        concurrency: 3,
        deliver: () =>
          Effect.gen(function*() {
            const count = yield* Ref.updateAndGet(now, (n) => n + 1)
            yield* Ref.update(most, (before) => Math.max(before, count))
            yield* Effect.sleep("1 second")
            yield* Ref.update(now, (n) => n - 1)
            return ok
          })
      })
      yield* Effect.gen(function*() {
        yield* offer(...(yield* Effect.replicateEffect(leased(), 10)))
        yield* TestClock.adjust("3999 millis")
        assert.strictEqual(yield* Queue.size(outcomes), 9)
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(yield* Queue.size(outcomes), 10)
        assert.strictEqual(yield* Ref.get(most), 3)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("makes a bug in the courier that delivery's outcome, and lives on", () =>
    Effect.gen(function*() {
      const first = yield* Deferred.make<void>()
      const { layer, outcomes } = yield* pool({
        concurrency: 1,
        deliver: () =>
          Effect.flatMap(Deferred.succeed(first, undefined), (isFirst) =>
            isFirst ? Effect.dieMessage("secret detail") : Effect.succeed(ok))
      })
      yield* Effect.gen(function*() {
        yield* TestClock.setTime(42_000)
        const one = yield* leased()
        yield* offer(one, yield* leased())
        const { outcome } = yield* Queue.take(outcomes)
        assert.deepInclude(outcome, {
          deliveryId: one.delivery.id,
          result: "failure_retryable",
          status: "failed_retryable",
          errorClass: "internal_error",
          charged: true,
          counted: true,
          exchange: unsent(42_000)
        })
        assert.notInclude(outcome.errorMessage, "secret detail")
        assert.strictEqual((yield* Queue.take(outcomes)).outcome.status, "delivered")
        assert.deepStrictEqual(yield* restarts, [0])
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("is restarted after a bug of its own, and goes on with what is in the queue", () =>
    Effect.gen(function*() {
      const { layer, outcomes } = yield* pool({ deliver: () => Effect.succeed(ok) })
      yield* Effect.gen(function*() {
        const deadly = {
          get delivery(): ClaimedDelivery {
            return assert.fail("boom")
          },
          leaseEndsAt: 0n
        }
        yield* offer(deadly)
        yield* TestClock.adjust("200 millis")
        assert.deepStrictEqual(yield* restarts, [1])
        yield* offer(yield* leased())
        assert.strictEqual((yield* Queue.take(outcomes)).outcome.status, "delivered")
      }).pipe(Effect.provide(layer))
    }))
})

describe("a place", () => {
  it.scoped("is kept while its attempt is under way, and left when the outcome is handed over", () =>
    Effect.gen(function*() {
      const { layer, outcomes } = yield* pool({ deliver: () => Effect.delay(Effect.succeed(ok), 5_000) })
      yield* Effect.gen(function*() {
        yield* claim(yield* leased(), yield* leased())
        yield* TestClock.adjust("4900 millis")
        assert.strictEqual(yield* free, places - 2)
        yield* TestClock.adjust("100 millis")
        assert.strictEqual(yield* Queue.size(outcomes), 2)
        assert.strictEqual(yield* free, places)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("is left, too, where no attempt was made, and where the dispatcher dies of a delivery", () =>
    Effect.gen(function*() {
      const { layer } = yield* pool({ deliver: () => Effect.succeed(ok) })
      yield* Effect.gen(function*() {
        yield* claim(yield* leased(1))
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(yield* free, places)
        const { delivery, leaseEndsAt } = yield* leased()
        Object.defineProperty(delivery, "timeoutMs", { get: () => assert.fail("boom") })
        yield* claim({ delivery, leaseEndsAt })
        yield* TestClock.adjust("200 millis")
        assert.deepStrictEqual(yield* restarts, [1])
        assert.strictEqual(yield* free, places)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("of the kept ones is open to a webhook whose latest attempt was quick, and closed to a slow one", () =>
    Effect.gen(function*() {
      const delays = yield* Ref.make([999, 1_001])
      const { layer, outcomes } = yield* pool({
        deliver: () =>
          Effect.flatMap(
            Ref.modify(delays, ([first = 0, ...rest]) => [first, rest]),
            (ms) => Effect.delay(Effect.succeed(ok), ms)
          )
      })
      yield* Effect.gen(function*() {
        const bulkhead = yield* Bulkhead
        const one = yield* leased()
        const others = yield* Effect.replicateEffect(leased(), places * 3 / 4)
        yield* bulkhead.enter([], others.map(({ delivery }) => delivery.webhookId))
        const mayHoldMore = Effect.gen(function*() {
          const allotted = yield* bulkhead.allot([one.delivery.webhookId])
          yield* bulkhead.enter(allotted, [])
          return allotted.length === 1
        })
        assert.isFalse(yield* mayHoldMore, "of which nothing is known")
        for (const isQuick of [true, false]) {
          yield* claim(one)
          yield* TestClock.adjust("2 seconds")
          yield* Queue.take(outcomes)
          assert.strictEqual(yield* mayHoldMore, isQuick)
        }
      }).pipe(Effect.provide(layer))
    }))
})

/** Sends one delivery: the timeouts that the courier was given, and whether it was given back. */
const timeoutsAndBack = (seconds: number, timeoutMs: number, release?: Release) =>
  Effect.gen(function*() {
    const [timeouts, back] = [yield* Ref.make<Array<number>>([]), yield* Ref.make<Array<string>>([])]
    const { layer } = yield* pool({
      deliver: (parcel) => Effect.as(Ref.update(timeouts, (all) => [...all, parcel.timeoutMs]), ok),
      release: release ??
        ((deliveries) => Ref.update(back, (all) => [...all, ...deliveries.map(({ leaseToken }) => leaseToken)]))
    })
    return yield* Effect.gen(function*() {
      const one = yield* leased(seconds, { timeoutMs })
      yield* offer(one)
      yield* TestClock.adjust("1 second")
      const released = (yield* Ref.get(back)).map((token) => token === one.delivery.leaseToken)
      return { timeouts: yield* Ref.get(timeouts), released, restarts: yield* restarts }
    }).pipe(Effect.provide(layer))
  })

const away = () => Effect.fail(new PersistenceError({ operation: "DeliveryStore.release", cause: "away" }))

describe("a lease", () => {
  it.scoped("that has all but ended is given back, and nothing is sent", () =>
    Effect.gen(function*() {
      const given = { timeouts: [], released: [true], restarts: [0] }
      assert.deepStrictEqual(yield* timeoutsAndBack(1, 5_000), given)
      assert.deepStrictEqual(yield* timeoutsAndBack(-1, 100), given)
    }))

  it.scoped("shorter than the webhook's timeout does not shorten the attempt: it is prolonged meanwhile", () =>
    Effect.gen(function*() {
      const sent = { timeouts: [20_000], released: [], restarts: [0] }
      assert.deepStrictEqual(yield* timeoutsAndBack(6, 20_000), sent)
      assert.deepStrictEqual(yield* timeoutsAndBack(30, 20_000), sent)
    }))

  it.scoped("that cannot be given back is left to end by itself", () =>
    Effect.gen(function*() {
      const { restarts, timeouts } = yield* timeoutsAndBack(1, 5_000, away)
      assert.deepStrictEqual({ restarts, timeouts }, { restarts: [0], timeouts: [] })
    }))

  it.scoped("spent waiting in the queue counts", () =>
    Effect.gen(function*() {
      const { layer, outcomes } = yield* pool({
        concurrency: 1,
        deliver: () => Effect.delay(Effect.fail(refused()), 5_000)
      })
      yield* Effect.gen(function*() {
        yield* offer(...(yield* Effect.replicateEffect(leased(16), 5)))
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* Queue.size(outcomes), 3, "at 15 s it has all but ended for the fourth")
      }).pipe(Effect.provide(layer))
    }))
})
