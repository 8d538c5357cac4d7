import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Layer, Logger, PubSub, Queue, Random, Ref, TestClock } from "effect"
import * as Ids from "../../src/domain/Ids.ts"
import type { Claim, ClaimRequest } from "../../src/persistence/Claim.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import { PersistenceError } from "../../src/persistence/Postgres.ts"
import { DeliveryQueue } from "../../src/runtime/DeliveryQueue.ts"
import * as Scheduler from "../../src/runtime/Scheduler.ts"
import { Supervisor } from "../../src/runtime/Supervisor.ts"
import { Signal, Signals } from "../../src/telemetry/Signals.ts"
import { claimed } from "../support/Deliveries.ts"

type Store = DeliveryStore["Type"]

const nothing: Claim = { deliveries: [], next: null, full: false }
const away = new PersistenceError({ operation: "DeliveryStore.claim", cause: "away" })

/** As many as were asked for, for ever. */
const backlog = ({ limit }: ClaimRequest): Effect.Effect<Claim> =>
  Effect.map(Effect.replicateEffect(claimed(), limit), (deliveries) => ({ deliveries, next: null, full: true }))

/** The scheduler over a store of which every claim is seen. */
const scheduler = (answer: Store["claim"], others: Partial<Store> = {}, capacity = 8) =>
  Effect.gen(function*() {
    const claims = yield* Queue.unbounded<ClaimRequest>()
    const said = yield* Queue.unbounded<string>()
    const logger = Logger.make(({ message }) =>
      Queue.unsafeOffer(said, String(Array.isArray(message) ? message[0] : message))
    )
    const layer = Scheduler.layer({ pollInterval: "1 second", leaseSeconds: 30 }).pipe(
      Layer.provideMerge(DeliveryQueue.layer(capacity)),
      Layer.provide(Layer.mock(DeliveryStore, {
        claim: (request) => Effect.zipRight(Queue.offer(claims, request), answer(request)),
        reclaimExpired: Effect.succeed(0),
        releaseHolds: Effect.succeed(0),
        release: () => Effect.void,
        ...others
      })),
      Layer.provideMerge(Layer.merge(Signals.layer, Supervisor.layer)),
      Layer.provide(Logger.add(logger)),
      // Whole milliseconds: the TestClock has no nanoseconds of fractions.
      Layer.provide(Layer.setRandom(Random.fixed([0.5])))
    )
    return { claims, layer, said }
  })

/** Answers in turn; the last one for ever. */
const inTurn = (...answers: ReadonlyArray<Effect.Effect<Claim, PersistenceError>>) =>
  Effect.map(
    Ref.make(answers),
    (left): Store["claim"] => () =>
      Effect.flatten(
        Ref.modify(left, ([first = Effect.succeed(nothing), ...rest]) => [first, rest.length === 0 ? [first] : rest])
      )
  )

const signal = (signal: Signal) => Effect.flatMap(Signals, (signals) => PubSub.publish(signals, signal))

const attemptRecorded = Effect.gen(function*() {
  const { id, webhookId } = yield* claimed()
  yield* signal(Signal.AttemptRecorded({ deliveryId: id, webhookId, status: "delivered" }))
})

/** The poll has come to its pause. */
const pausing = Effect.repeat(Effect.zipRight(Effect.yieldNow(), TestClock.sleeps()), { until: Chunk.isNonEmpty })

/** Longer than a poll interval with its jitter, and shorter than two. */
const onePoll = Effect.zipRight(pausing, TestClock.adjust("1300 millis"))

const settled = TestClock.adjust("1 millis")

describe("Scheduler", () => {
  it.scoped("claims at a signal, without waiting for the poll", () =>
    Effect.gen(function*() {
      const { claims, layer } = yield* scheduler(() => Effect.succeed(nothing))
      yield* Effect.gen(function*() {
        yield* Queue.take(claims)
        yield* settled
        for (let i = 0; i < 3; i++) {
          yield* signal(Signal.WorkArrived())
          yield* Queue.take(claims)
        }
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("claims at every poll, without a signal", () =>
    Effect.gen(function*() {
      const { claims, layer } = yield* scheduler(() => Effect.succeed(nothing))
      yield* Effect.gen(function*() {
        yield* Queue.take(claims)
        for (let i = 0; i < 20; i++) {
          yield* onePoll
          yield* Queue.take(claims)
        }
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("puts what it claimed into the queue, under leases counted from before the claim", () =>
    Effect.gen(function*() {
      const delivery = yield* claimed()
      const slow = Effect.delay(Effect.succeed({ ...nothing, deliveries: [delivery] }), "2 seconds")
      const { claims, layer } = yield* scheduler(yield* inTurn(slow, Effect.succeed(nothing)))
      yield* Effect.gen(function*() {
        const request = yield* Queue.take(claims)
        assert.strictEqual(request.leaseSeconds, 30)
        yield* TestClock.adjust("2 seconds")
        const leased = yield* Effect.flatMap(DeliveryQueue, (queue) => queue.take)
        assert.deepStrictEqual(leased, { delivery, leaseEndsAt: 30_000_000_000n })
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("claims only what fits, nothing while the queue is full, and again when an attempt made room", () =>
    Effect.gen(function*() {
      const { claims, layer } = yield* scheduler(backlog, {}, 5)
      yield* Effect.gen(function*() {
        const queue = yield* DeliveryQueue
        assert.strictEqual((yield* Queue.take(claims)).limit, 5)
        yield* TestClock.adjust("10 seconds")
        yield* signal(Signal.WorkArrived())
        yield* settled
        assert.strictEqual(yield* Queue.size(claims), 0)
        yield* Effect.replicateEffect(queue.take, 2)
        yield* attemptRecorded
        assert.strictEqual((yield* Queue.take(claims)).limit, 2)
        assert.strictEqual(yield* queue.depth, 5)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("asks for 500 at most", () =>
    Effect.gen(function*() {
      const { claims, layer } = yield* scheduler(() => Effect.succeed(nothing), {}, 2_000)
      const { limit } = yield* Effect.provide(Queue.take(claims), layer)
      assert.strictEqual(limit, 500)
    }))

  it.scoped("is not woken by attempts that end while there is room", () =>
    Effect.gen(function*() {
      const { claims, layer } = yield* scheduler(() => Effect.succeed(nothing))
      yield* Effect.gen(function*() {
        yield* Queue.take(claims)
        yield* Effect.replicateEffect(attemptRecorded, 10)
        yield* settled
        assert.strictEqual(yield* Queue.size(claims), 0)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("walks once more for a webhook that had more than its share at the beginning of a long walk", () =>
    Effect.gen(function*() {
      const a = yield* Ids.make("WebhookId")
      const { claims, layer } = yield* scheduler(
        yield* inTurn(
          Effect.succeed({ deliveries: [], next: a, full: true }),
          Effect.succeed({ deliveries: [], next: null, full: false }),
          Effect.succeed(nothing)
        )
      )
      yield* Effect.gen(function*() {
        const requests = Array.from(yield* Queue.takeN(claims, 3))
        assert.deepStrictEqual(requests.map(({ after }) => after), [null, a, null])
        yield* settled
        assert.strictEqual(yield* Queue.size(claims), 0)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("walks on from where the last claim ended, under a lease of its own each time, until there is no more", () =>
    Effect.gen(function*() {
      const [a, b] = [yield* Ids.make("WebhookId"), yield* Ids.make("WebhookId")]
      const { claims, layer } = yield* scheduler(
        yield* inTurn(
          Effect.succeed({ deliveries: [], next: a, full: true }),
          Effect.succeed({ deliveries: [yield* claimed()], next: b, full: true }),
          Effect.succeed({ deliveries: [], next: null, full: true }),
          Effect.succeed(nothing)
        )
      )
      yield* Effect.gen(function*() {
        const requests = Array.from(yield* Queue.takeN(claims, 4))
        assert.deepStrictEqual(requests.map(({ after }) => after), [null, a, b, null])
        assert.strictEqual(new Set(requests.map(({ leaseToken }) => leaseToken)).size, 4)
        yield* settled
        assert.strictEqual(yield* Queue.size(claims), 0)
        yield* onePoll
        assert.isNull((yield* Queue.take(claims)).after)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("logs a claim that failed and goes on with the next poll, from where it stood", () =>
    Effect.gen(function*() {
      const next = yield* Ids.make("WebhookId")
      const { claims, layer, said } = yield* scheduler(
        yield* inTurn(
          Effect.succeed({ deliveries: [], next, full: true }),
          Effect.fail(away),
          Effect.succeed(nothing)
        )
      )
      yield* Effect.gen(function*() {
        assert.strictEqual(yield* Queue.take(said), "claim failed, the next poll tries again")
        assert.strictEqual(yield* Queue.size(claims), 2)
        yield* onePoll
        const requests = Array.from(yield* Queue.takeN(claims, 4))
        assert.deepStrictEqual(requests.map(({ after }) => after), [null, next, next, null], "and from the beginning")
        const [actor] = yield* Effect.flatMap(Supervisor, (supervisor) => supervisor.actors)
        assert.deepInclude(actor, { state: "running", restarts: 0 })
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("logs a sweep that failed and goes on with the next poll", () =>
    Effect.gen(function*() {
      const isAway = yield* Ref.make(true)
      const { claims, layer, said } = yield* scheduler(() => Effect.succeed(nothing), {
        reclaimExpired: Effect.flatMap(Ref.get(isAway), (failing) => failing ? Effect.fail(away) : Effect.succeed(0))
      })
      yield* Effect.gen(function*() {
        assert.strictEqual(yield* Queue.take(said), "sweep failed, the next poll tries again")
        yield* signal(Signal.WorkArrived())
        yield* Queue.take(claims)
        yield* Ref.set(isAway, false)
        yield* onePoll
        yield* Queue.take(claims)
        const [actor] = yield* Effect.flatMap(Supervisor, (supervisor) => supervisor.actors)
        assert.deepInclude(actor, { state: "running", restarts: 0 })
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("brings back what ended nodes left and lets out what is held, before it claims", () =>
    Effect.gen(function*() {
      const done = yield* Queue.unbounded<string>()
      const did = (what: string) => Queue.offer(done, what)
      const { layer, said } = yield* scheduler(() => Effect.as(did("claim"), nothing), {
        reclaimExpired: Effect.as(did("reclaim"), 3),
        releaseHolds: Effect.as(did("release"), 1)
      })
      yield* Effect.gen(function*() {
        assert.deepStrictEqual(Array.from(yield* Queue.takeN(done, 3)), ["reclaim", "release", "claim"])
        assert.strictEqual(yield* Queue.take(said), "deliveries of an ended node are due again")
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("is restarted after a bug, and then hears signals as before", () =>
    Effect.gen(function*() {
      const { claims, layer } = yield* scheduler(yield* inTurn(Effect.dieMessage("a bug"), Effect.succeed(nothing)))
      yield* Effect.gen(function*() {
        yield* Queue.take(claims)
        yield* TestClock.adjust("200 millis")
        const [actor] = yield* Effect.flatMap(Supervisor, (supervisor) => supervisor.actors)
        assert.deepInclude(actor, { state: "running", restarts: 1 })
        yield* Queue.take(claims)
        yield* signal(Signal.WorkArrived())
        yield* Queue.take(claims)
      }).pipe(Effect.provide(layer))
    }))
})
