import { assert, describe, it } from "@effect/vitest"
import { Chunk, Clock, Deferred, Effect, Layer, Logger, Queue, TestClock } from "effect"
import type { ClaimedDelivery } from "../../src/persistence/Claim.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import type { Lease } from "../../src/persistence/Leases.ts"
import { PersistenceError } from "../../src/persistence/Postgres.ts"
import { type Kept, LeaseKeeper } from "../../src/runtime/LeaseKeeper.ts"
import { Supervisor } from "../../src/runtime/Supervisor.ts"
import { claimed } from "../support/Deliveries.ts"

type Prolong = DeliveryStore["Type"]["prolong"]

const away = new PersistenceError({ operation: "DeliveryStore.prolong", cause: "away" })

const standing: Prolong = (leases) => Effect.succeed(new Set(leases.map(({ id }) => id)))

/** A keeper of leases of 30 s, whose every prolonging is seen, and what it says of them. */
const keeping = (prolong: Prolong = standing) =>
  Effect.gen(function*() {
    const asked = yield* Queue.unbounded<ReadonlyArray<Lease>>()
    const said = yield* Queue.unbounded<string>()
    const logger = Logger.make(({ message }) =>
      Queue.unsafeOffer(said, Array.isArray(message) ? JSON.stringify(message.slice(0, 2)) : String(message))
    )
    const layer = LeaseKeeper.layer({ leaseSeconds: 30 }).pipe(
      Layer.provide(Layer.mock(DeliveryStore, {
        prolong: (leases, seconds) => {
          assert.strictEqual(seconds, 30)
          return Effect.zipRight(Queue.offer(asked, leases), prolong(leases, seconds))
        }
      })),
      Layer.provideMerge(Supervisor.layer),
      Layer.provide(Logger.add(logger))
    )
    const asks = Effect.map(Queue.takeAll(asked), (batches) =>
      Chunk.toReadonlyArray(batches).map((leases) => leases.map(({ id }) => id)))
    return { layer, asks, said: Effect.map(Queue.takeAll(said), Chunk.toReadonlyArray) }
  })

const keep = (delivery: ClaimedDelivery) =>
  Effect.flatMap(
    LeaseKeeper,
    (keeper) => Effect.map(Clock.currentTimeNanos, (now) => keeper.keep(delivery, now))
  )

const drop = (lease: Kept) => Effect.flatMap(LeaseKeeper, (keeper) => keeper.drop([lease]))

const size = Effect.flatMap(LeaseKeeper, (keeper) => keeper.size)

const seconds = (count: number) => TestClock.adjust(`${count} seconds`)

const lost = (count: number) => `["leases ended before they were prolonged",${JSON.stringify({ count })}]`

describe("LeaseKeeper", () => {
  it.scoped("prolongs every third of a lease what is not quite new, so that none comes to half its time", () =>
    Effect.gen(function*() {
      const { asks, layer } = yield* keeping()
      yield* Effect.gen(function*() {
        const [early, late] = [yield* claimed(), yield* claimed()]
        yield* keep(early)
        yield* seconds(6)
        yield* keep(late)
        yield* seconds(3)
        assert.deepStrictEqual(yield* asks, [])
        yield* seconds(1)
        assert.deepStrictEqual(yield* asks, [[early.id]])
        yield* seconds(9)
        assert.deepStrictEqual(yield* asks, [])
        yield* seconds(1)
        assert.deepStrictEqual(yield* asks, [[early.id, late.id]], "the later one at fourteen seconds")
        yield* seconds(10)
        assert.deepStrictEqual(yield* asks, [[early.id, late.id]])
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("asks nothing of the database while it keeps nothing, and nothing for what was dropped", () =>
    Effect.gen(function*() {
      const { asks, layer } = yield* keeping()
      yield* Effect.gen(function*() {
        yield* seconds(30)
        const [one, other] = [yield* claimed(), yield* claimed()]
        const [first, second] = yield* Effect.zip(keep(one), keep(other))
        yield* drop(first)
        assert.strictEqual(yield* size, 1)
        yield* seconds(10)
        assert.deepStrictEqual(yield* asks, [[other.id]])
        yield* drop(second)
        yield* seconds(60)
        assert.deepStrictEqual(yield* asks, [])
        assert.strictEqual(yield* size, 0)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("forgets a lease that no longer stood, and says so", () =>
    Effect.gen(function*() {
      const [mine, taken] = [yield* claimed(), yield* claimed()]
      const { asks, layer, said } = yield* keeping(() => Effect.succeed(new Set([mine.id])))
      yield* Effect.gen(function*() {
        yield* Effect.zip(keep(mine), keep(taken))
        yield* seconds(10)
        assert.deepStrictEqual(yield* asks, [[mine.id, taken.id]])
        assert.deepStrictEqual(yield* said, [lost(1)])
        yield* seconds(10)
        assert.deepStrictEqual(yield* asks, [[mine.id]])
        assert.deepStrictEqual(yield* said, [])
        assert.strictEqual(yield* size, 1)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("tries again in the next round while the database is away, and forgets nothing meanwhile", () =>
    Effect.gen(function*() {
      let failures = 2
      const { asks, layer, said } = yield* keeping((leases, seconds) =>
        failures-- > 0 ? Effect.fail(away) : standing(leases, seconds)
      )
      yield* Effect.gen(function*() {
        const one = yield* claimed()
        yield* keep(one)
        yield* seconds(30)
        assert.deepStrictEqual(yield* asks, [[one.id], [one.id], [one.id]])
        const warnings = yield* said
        assert.lengthOf(warnings, 2)
        assert.include(warnings[0], "the next round tries again")
        assert.strictEqual(yield* size, 1)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("takes neither for lost what was dropped, nor for prolonged what was leased anew, while it prolonged", () =>
    Effect.gen(function*() {
      const [asking, leave] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const { asks, layer, said } = yield* keeping(() =>
        Deferred.succeed(asking, undefined).pipe(
          Effect.zipRight(Deferred.await(leave)),
          Effect.as(new Set())
        )
      )
      yield* Effect.gen(function*() {
        const [dropped, again, ended] = [yield* claimed(), yield* claimed(), yield* claimed()]
        const lease = yield* keep(dropped)
        yield* Effect.forEach([again, ended], keep)
        yield* seconds(10)
        yield* Deferred.await(asking)
        yield* drop(lease)
        const renewed = yield* claimed({ id: again.id })
        yield* keep(renewed)
        yield* Deferred.succeed(leave, undefined)
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(yield* said, [lost(2)], "both leases that ended")
        assert.strictEqual(yield* size, 1)
        yield* asks
        yield* seconds(10)
        assert.deepStrictEqual(yield* asks, [[again.id]])
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("keeps count of those that come and go", () =>
    Effect.gen(function*() {
      const { asks, layer } = yield* keeping()
      yield* Effect.gen(function*() {
        const leases = yield* Effect.forEach(yield* Effect.replicateEffect(claimed(), 500), keep)
        const [last, ...others] = leases.toReversed()
        yield* Effect.forEach(others, drop)
        yield* Effect.forEach(others, drop)
        assert.strictEqual(yield* size, 1)
        yield* seconds(10)
        assert.deepStrictEqual(yield* asks, [[last?.id]])
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("prolongs a thousand with one statement", () =>
    Effect.gen(function*() {
      const { asks, layer } = yield* keeping()
      yield* Effect.gen(function*() {
        yield* Effect.forEach(yield* Effect.replicateEffect(claimed(), 2_001), keep)
        yield* seconds(10)
        assert.deepStrictEqual((yield* asks).map((ids) => ids.length), [1_000, 1_000, 1])
      }).pipe(Effect.provide(layer))
    }))
})
