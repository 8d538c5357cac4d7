import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Ref, Scope, TestClock } from "effect"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import { PersistenceError } from "../../src/persistence/Postgres.ts"
import { DeliveryQueue, remainingMs } from "../../src/runtime/DeliveryQueue.ts"
import { leased, take } from "../support/Deliveries.ts"

type Release = DeliveryStore["Type"]["release"]

const QueueOf = (release?: Release) =>
  DeliveryQueue.layer.pipe(
    Layer.provide(Layer.mock(DeliveryStore, release === undefined ? {} : { release }))
  )

/** Closes a queue in which these are left, and answers what was given back. */
const givenBack = (use: Effect.Effect<void, never, DeliveryQueue>) =>
  Effect.gen(function*() {
    const released = yield* Ref.make<ReadonlyArray<Parameters<Release>[0]>>([])
    const layer = QueueOf((deliveries) => Ref.update(released, (all) => [...all, deliveries]))
    yield* Effect.provide(use, layer)
    return yield* Ref.get(released)
  })

describe("DeliveryQueue", () => {
  it.scoped("knows how many it holds", () =>
    Effect.gen(function*() {
      const queue = yield* DeliveryQueue
      assert.strictEqual(yield* queue.depth, 0)
      yield* queue.offerAll(yield* Effect.replicateEffect(leased(), 3))
      assert.strictEqual(yield* queue.depth, 3)
      yield* Effect.replicateEffect(take, 3)
      assert.strictEqual(yield* queue.depth, 0)
    }).pipe(Effect.provide(QueueOf())))

  it.scoped("holds none, not less than none, while workers wait for work", () =>
    Effect.gen(function*() {
      const queue = yield* DeliveryQueue
      const workers = yield* Effect.replicateEffect(Effect.fork(take), 3)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* queue.depth, 0)
      yield* Effect.forEach(workers, Fiber.interrupt)
    }).pipe(Effect.provide(QueueOf())))

  it.scoped("hands deliveries over in their order, once each", () =>
    Effect.gen(function*() {
      const queue = yield* DeliveryQueue
      const offered = yield* Effect.replicateEffect(leased(), 4)
      yield* queue.offerAll(offered)
      assert.deepStrictEqual(yield* Effect.replicateEffect(take, 4), offered)
    }).pipe(Effect.provide(QueueOf())))

  it.scoped("keeps a delivery that a worker stopped waiting for", () =>
    Effect.gen(function*() {
      const queue = yield* DeliveryQueue
      const worker = yield* Effect.fork(take)
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(worker)
      const one = yield* leased()
      yield* queue.offerAll([one])
      assert.strictEqual(yield* queue.depth, 1)
      assert.deepStrictEqual(yield* take, one)
    }).pipe(Effect.provide(QueueOf())))

  it.effect("gives back at the end what was never sent, and only that", () =>
    Effect.gen(function*() {
      const offered = yield* Effect.replicateEffect(leased(), 5)
      const released = yield* givenBack(Effect.gen(function*() {
        const queue = yield* DeliveryQueue
        yield* queue.offerAll(offered)
        yield* Effect.replicateEffect(take, 2)
      }))
      assert.deepStrictEqual(released, [offered.slice(2).map(({ delivery }) => delivery)])
    }))

  it.effect("gives back on demand what waits, and hands over what comes after", () =>
    Effect.gen(function*() {
      const offered = yield* Effect.replicateEffect(leased(), 6)
      const released = yield* givenBack(Effect.gen(function*() {
        const queue = yield* DeliveryQueue
        yield* queue.offerAll(offered)
        yield* queue.giveBack
        assert.strictEqual(yield* queue.depth, 0)
        const later = yield* leased()
        yield* queue.offerAll([later])
        assert.strictEqual(yield* take, later)
      }))
      assert.deepStrictEqual(released, [offered.map(({ delivery }) => delivery)])
    }))

  it.effect("asks nothing of the database when it is empty at the end", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* givenBack(Effect.void), [])
    }))

  it.effect("closes also while the database is away", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const asked = yield* Ref.make(false)
      const layer = QueueOf(() =>
        Effect.zipRight(
          Ref.set(asked, true),
          new PersistenceError({ operation: "DeliveryStore.release", cause: "away" })
        )
      )
      const context = yield* Layer.buildWithScope(layer, scope)
      const one = yield* leased()
      yield* Effect.flatMap(DeliveryQueue, (queue) => queue.offerAll([one])).pipe(Effect.provide(context))
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(Scope.close(scope, Exit.void))))
      assert.isTrue(yield* Ref.get(asked))
    }))

  it("tells how long a lease still stands, and since when it has not", () => {
    assert.strictEqual(remainingMs(30_000_000_000n, 0n), 30_000)
    assert.strictEqual(remainingMs(30_000_000_000n, 12_000_000_000n), 18_000)
    assert.strictEqual(remainingMs(30_000_000_000n, 32_000_000_000n), -2_000)
  })
})
