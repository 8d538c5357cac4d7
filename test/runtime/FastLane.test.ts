import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Fiber, Layer, Option, TestClock } from "effect"
import * as Ids from "../../src/domain/Ids.ts"
import type { ClaimedDelivery } from "../../src/persistence/Claim.ts"
import type { Committed } from "../../src/persistence/Committed.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import { PersistenceError } from "../../src/persistence/Postgres.ts"
import type { LeaseOffer } from "../../src/persistence/PublishRequest.ts"
import { Bulkhead } from "../../src/runtime/Bulkhead.ts"
import { DeliveryQueue, remainingMs } from "../../src/runtime/DeliveryQueue.ts"
import * as FastLane from "../../src/runtime/FastLane.ts"
import { claimed, take } from "../support/Deliveries.ts"

const places = 64

const Parts = Layer.merge(
  Bulkhead.layer({ places, placesPerWebhook: 8 }),
  DeliveryQueue.layer.pipe(Layer.provide(Layer.mock(DeliveryStore, { release: () => Effect.void })))
)

const free = Effect.flatMap(Bulkhead, (bulkhead) => bulkhead.free)
const depth = Effect.flatMap(DeliveryQueue, (queue) => queue.depth)

const committed = (leased: ReadonlyArray<ClaimedDelivery>): Committed => ({ stored: [], leased })

const send = <E>(events: number, publish: (offer: LeaseOffer | null) => Effect.Effect<Committed, E>) =>
  Effect.flatMap(FastLane.make({ leaseSeconds: 30, concurrency: places }), (fastLane) => fastLane.send(events, publish))

/** Leases under the offer's token as many of a new webhook's as these events have. */
const leasing = (offer: LeaseOffer | null, count: number) =>
  Effect.gen(function*() {
    if (offer === null) return committed([])
    const webhookId = yield* Ids.make("WebhookId")
    return committed(yield* Effect.replicateEffect(claimed({ leaseToken: offer.token, webhookId }), count))
  })

const away = new PersistenceError({ operation: "EventStore.publish", cause: "away" })

describe("FastLane", () => {
  it.scoped("hands what a publish leased to the dispatcher, with the lease counted from before the publish", () =>
    Effect.gen(function*() {
      const answer = yield* Effect.fork(send(2, (offer) => Effect.delay(leasing(offer, 2), "3 seconds")))
      yield* TestClock.adjust("3 seconds")
      const { leased } = yield* Fiber.join(answer)
      assert.strictEqual(yield* free, places - 2)
      const handed = yield* Effect.replicateEffect(take, 2)
      assert.deepStrictEqual(handed.map(({ delivery }) => delivery), leased)
      const now = yield* Clock.currentTimeNanos
      assert.deepStrictEqual(handed.map(({ leaseEndsAt }) => remainingMs(leaseEndsAt, now)), [27_000, 27_000])
    }).pipe(Effect.provide(Parts)))

  it.scoped("offers as many places as it sets aside, a token of its own each time, and no full webhook", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead
      const full = yield* Ids.make("WebhookId")
      yield* bulkhead.enter([], Array.from({ length: 8 }, () => full))
      const offers: Array<LeaseOffer | null> = []
      for (let i = 0; i < 2; i++) {
        yield* send(3, (offer) =>
          Effect.map(free, (left) => {
            offers.push(offer)
            assert.strictEqual(places - 8 - left, offer?.most)
            return committed([])
          }).pipe(Effect.provideService(Bulkhead, bulkhead)))
      }
      const [first, second] = offers
      assert.deepInclude(first, { seconds: 30, mostPerWebhook: 3, limited: [{ webhookId: full, most: 0 }] })
      assert.notStrictEqual(first?.token, second?.token)
      assert.strictEqual(yield* free, places - 8)
    }).pipe(Effect.provide(Parts)))

  it.scoped("gives all places back when a publish fails, or dies, and answers as it did", () =>
    Effect.gen(function*() {
      const failed = yield* Effect.exit(send(5, () => Effect.fail(away)))
      assert.deepStrictEqual(failed, Exit.fail(away))
      const died = yield* Effect.exit(send(5, () => Effect.die("a bug")))
      assert.deepStrictEqual(died, Exit.die("a bug"))
      assert.strictEqual(yield* free, places)
      assert.strictEqual(yield* depth, 0)
    }).pipe(Effect.provide(Parts)))

  it.scoped("hands over what was leased though its publisher was interrupted meanwhile", () =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const publisher = yield* Effect.fork(send(1, (offer) =>
        Effect.zipRight(Deferred.succeed(begun, undefined), Effect.delay(leasing(offer, 1), "1 second"))))
      yield* Deferred.await(begun)
      const interrupting = yield* Effect.fork(Fiber.interrupt(publisher))
      yield* TestClock.adjust("999 millis")
      assert.isTrue(Option.isNone(yield* Fiber.poll(interrupting)))
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(interrupting)
      assert.strictEqual(yield* depth, 1)
      assert.strictEqual(yield* free, places - 1)
    }).pipe(Effect.provide(Parts)))

  it.scoped("publishes without an offer where there is no room, and has it again when there is", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead
      const others = yield* Effect.replicateEffect(Ids.make("WebhookId"), places * 3 / 4)
      yield* bulkhead.enter([], others)
      const offered = Effect.gen(function*() {
        let most: number | null = null
        yield* send(1, (offer) => {
          most = offer?.most ?? null
          return Effect.succeed(committed([]))
        })
        return most
      })
      assert.isNull(yield* offered)
      for (const webhook of others.slice(0, 4)) bulkhead.leave(webhook, 5)
      assert.strictEqual(yield* offered, 4)
    }).pipe(Effect.provide(Parts)))

  for (const [concurrency, waitingMax] of [[1_024, 256], [4_096, 256], [64, 16]] as const) {
    it.scoped(`with ${concurrency} places is busy while more than ${waitingMax} that it handed over wait`, () =>
      Effect.gen(function*() {
        const { isBusy } = yield* FastLane.make({ leaseSeconds: 30, concurrency })
        const queue = yield* DeliveryQueue
        const waiting = (isFresh: boolean) =>
          Effect.map(claimed(), (delivery) => ({ delivery, leaseEndsAt: 30_000_000_000n, isFresh }))
        yield* queue.offerAll(yield* Effect.replicateEffect(waiting(false), 400))
        assert.isFalse(isBusy())
        yield* queue.offerAll(yield* Effect.replicateEffect(waiting(true), waitingMax))
        assert.isFalse(isBusy())
        yield* queue.offerAll(yield* Effect.replicateEffect(waiting(true), 100))
        assert.isTrue(isBusy())
        while (isBusy()) yield* Effect.promise(() => new Promise(setImmediate))
      }).pipe(Effect.provide(Parts)))
  }

  it.scoped("closed, leases nothing", () =>
    Effect.gen(function*() {
      const offers: Array<LeaseOffer | null> = []
      const answer = committed([])
      assert.strictEqual(
        yield* FastLane.closed.send(1, (offer) =>
          Effect.sync(() => {
            offers.push(offer)
            return answer
          })),
        answer
      )
      assert.deepStrictEqual(offers, [null])
    }))
})
