import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Option, Queue, Ref, Scope, TestClock } from "effect"
import { unsent } from "../../src/domain/Attempt.ts"
import { leased } from "../support/Deliveries.ts"
import { type Deliver, offer, ok, pool, type Release, restarts } from "../support/DispatcherPool.ts"

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
        const wanted = { body, clientId, eventType, headersSealed, id, secretSealed, signatures, url, webhookId }
        assert.deepInclude(parcel, { ...wanted, timeoutMs: 1_234 })
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
          ...yield* leased(),
          get leaseEndsAt(): bigint {
            return assert.fail("boom")
          }
        }
        yield* offer(deadly)
        yield* TestClock.adjust("200 millis")
        assert.deepStrictEqual(yield* restarts, [1])
        yield* offer(yield* leased())
        assert.strictEqual((yield* Queue.take(outcomes)).outcome.status, "delivered")
      }).pipe(Effect.provide(layer))
    }))
})
