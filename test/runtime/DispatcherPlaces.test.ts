/** What the Dispatcher holds while it sends: a place of the Bulkhead, and a lease. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Queue, Ref, TestClock } from "effect"
import { unsent } from "../../src/domain/Attempt.ts"
import { RetryableFailure } from "../../src/domain/DeliveryError.ts"
import { PersistenceError } from "../../src/persistence/Postgres.ts"
import { Bulkhead } from "../../src/runtime/Bulkhead.ts"
import { leased } from "../support/Deliveries.ts"
import { claim, free, offer, ok, places, pool, type Release, restarts } from "../support/DispatcherPool.ts"

const refused = (of: RetryableFailure["class"] = "connect_refused") =>
  new RetryableFailure({ class: of, message: "refused", retryAfterMs: null, exchange: unsent(7) })

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
        const one = yield* leased()
        Object.defineProperty(one.delivery, "attemptCount", { get: () => assert.fail("boom") })
        yield* claim(one)
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
