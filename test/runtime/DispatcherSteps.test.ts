/** The Dispatcher beside a courier that calls back, as the real one does: from outside of every fiber. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Layer, Logger, LogLevel, Option, Queue, Scope, TestClock } from "effect"
import { constVoid } from "effect/Function"
import { unsent } from "../../src/domain/Attempt.ts"
import { PermanentFailure } from "../../src/domain/DeliveryError.ts"
import type { End } from "../../src/transport/WebhookClient.ts"
import { leased } from "../support/Deliveries.ts"
import { type Begin, claim, free, ok, places, pool as poolOf, restarts } from "../support/DispatcherPool.ts"

/** Nobody wants to read of what was delivered: else that is told within the fiber. */
const pool = (begin: Begin, isFull = false) =>
  Effect.map(poolOf({ begin, concurrency: 1, isFull }), ({ layer, outcomes }) => ({
    layer: Layer.provideMerge(layer, Logger.minimumLogLevel(LogLevel.Warning)),
    outcomes
  }))

/** A courier whose attempts are under way until the test ends them, in their order. */
const makeCourier = () => {
  const underWay: Array<End> = []
  const begin: Begin = (_, __, ___, end) => {
    underWay.push(end)
    return constVoid
  }
  const end = (outcome: Parameters<End>[0]) => Effect.sync(() => underWay.shift()?.(outcome))
  const next = Effect.sync(() => underWay[0] ?? assert.fail("nothing is under way"))
  return { next, begin, end, count: Effect.sync(() => underWay.length) }
}

const refused = Effect.fail(new PermanentFailure({ class: "http_4xx", message: "no", exchange: unsent(7) }))

/** Lets fibers go as far as they can. */
const settle = TestClock.adjust("1 millis")

describe("Dispatcher", () => {
  it.scoped("goes on with the next where an answer is heard", () =>
    Effect.gen(function*() {
      const { begin, count, end } = makeCourier()
      const { layer, outcomes } = yield* pool(begin)
      yield* Effect.gen(function*() {
        yield* claim(yield* leased(), yield* leased(), yield* leased())
        yield* settle
        assert.strictEqual(yield* count, 1)
        yield* end(Exit.succeed(ok))
        assert.strictEqual(yield* Queue.size(outcomes), 1)
        yield* settle
        assert.strictEqual(yield* count, 1)
        yield* end(refused)
        yield* settle
        assert.strictEqual((yield* Queue.take(outcomes)).outcome.status, "delivered")
        assert.strictEqual((yield* Queue.take(outcomes)).outcome.status, "failed_permanent")
        assert.strictEqual(yield* count, 1)
        yield* end(Exit.succeed(ok))
        assert.strictEqual((yield* Queue.take(outcomes)).outcome.status, "delivered")
        assert.strictEqual(yield* free, places)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("hears one word on each attempt, and takes no second one for the next's", () =>
    Effect.gen(function*() {
      const { begin, count, end, next } = makeCourier()
      const { layer, outcomes } = yield* pool(begin)
      yield* Effect.gen(function*() {
        yield* claim(yield* leased(), yield* leased())
        yield* settle
        const first = yield* next
        yield* end(Exit.succeed(ok))
        yield* settle
        first(Exit.succeed(ok))
        first(refused)
        yield* settle
        assert.strictEqual(yield* Queue.size(outcomes), 1)
        assert.strictEqual(yield* free, places - 1)
        assert.strictEqual(yield* count, 1)
        yield* end(Exit.succeed(ok))
        yield* settle
        first(refused)
        yield* settle
        assert.strictEqual(yield* Queue.size(outcomes), 2)
        assert.strictEqual(yield* free, places)
        assert.deepStrictEqual(yield* restarts, [0])
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("waits with an outcome where the recorder is full, and goes on then", () =>
    Effect.gen(function*() {
      const { begin, count, end } = makeCourier()
      const { layer, outcomes } = yield* pool(begin, true)
      yield* Effect.gen(function*() {
        yield* claim(yield* leased(), yield* leased())
        yield* settle
        yield* end(Exit.succeed(ok))
        assert.strictEqual((yield* Queue.take(outcomes)).outcome.status, "delivered")
        yield* settle
        assert.strictEqual(yield* count, 1)
        assert.strictEqual(yield* free, places - 1)
        yield* end(refused)
        assert.strictEqual((yield* Queue.take(outcomes)).outcome.status, "failed_permanent")
      }).pipe(Effect.provide(layer))
    }))

  /** A worker is told to close with an attempt under way. */
  const closing = Effect.gen(function*() {
    const { begin, count, end } = makeCourier()
    const { layer, outcomes } = yield* pool(begin)
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(layer, scope)
    yield* Effect.flatMap(leased(), (one) => claim(one)).pipe(Effect.provide(context))
    yield* settle
    const closed = yield* Effect.fork(Scope.close(scope, Exit.void))
    return { closed, count, end, free: Effect.provide(free, context), outcomes }
  })

  for (const [what, outcome] of [["an answer", Exit.succeed(ok)], ["a failure", refused]] as const) {
    it.effect(`closes only once ${what} is heard, and hands it over`, () =>
      Effect.gen(function*() {
        const { closed, count, end, outcomes } = yield* closing
        yield* TestClock.adjust("1 minute")
        assert.isTrue(Option.isNone(yield* Fiber.poll(closed)))
        yield* end(outcome)
        yield* Fiber.join(closed)
        assert.strictEqual(yield* Queue.size(outcomes), 1)
        assert.strictEqual(yield* count, 0)
      }))

    it.effect.each([false, true])(
      `loses nothing of ${what} that is heard as it is told to close: %s`,
      (isTold) =>
        Effect.gen(function*() {
          const { closed, end, free, outcomes } = yield* closing
          if (isTold) yield* Effect.yieldNow()
          yield* end(outcome)
          yield* Fiber.join(closed)
          assert.strictEqual(yield* Queue.size(outcomes), 1)
          assert.strictEqual(yield* free, places)
        })
    )
  }

  it.scoped("is restarted after a bug of its own with an answer, and whoever brought it hears nothing of that", () =>
    Effect.gen(function*() {
      const { begin, end } = makeCourier()
      const { layer, outcomes } = yield* pool(begin)
      yield* Effect.gen(function*() {
        yield* claim(yield* leased())
        yield* settle
        yield* end(Exit.succeed({
          ...ok,
          get status(): number {
            return assert.fail("boom")
          }
        }))
        yield* TestClock.adjust("200 millis")
        assert.deepStrictEqual(yield* restarts, [1])
        assert.strictEqual(yield* free, places)
        yield* claim(yield* leased())
        yield* settle
        yield* end(Exit.succeed(ok))
        assert.strictEqual((yield* Queue.take(outcomes)).outcome.status, "delivered")
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("makes a courier that throws that delivery's outcome, of the moment", () =>
    Effect.gen(function*() {
      const { layer, outcomes } = yield* pool(() => assert.fail("secret detail"))
      yield* Effect.gen(function*() {
        yield* TestClock.setTime(42_000)
        yield* claim(yield* leased())
        const { outcome } = yield* Queue.take(outcomes)
        assert.strictEqual(outcome.errorClass, "internal_error")
        assert.strictEqual(outcome.exchange.startedAt, yield* Clock.currentTimeMillis)
        assert.deepStrictEqual(yield* restarts, [0])
      }).pipe(Effect.provide(layer))
    }))
})
