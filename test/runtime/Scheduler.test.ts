import { assert, describe, it } from "@effect/vitest"
import { Chunk, type Duration, Effect, Layer, Logger, PubSub, Queue, Random, Ref, TestClock } from "effect"
import * as Ids from "../../src/domain/Ids.ts"
import type { ClaimedDelivery, ClaimRequest } from "../../src/persistence/Claim.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import type { DueWebhooks } from "../../src/persistence/DueWebhooks.ts"
import { PersistenceError } from "../../src/persistence/Postgres.ts"
import { Bulkhead } from "../../src/runtime/Bulkhead.ts"
import { DeliveryQueue } from "../../src/runtime/DeliveryQueue.ts"
import * as Scheduler from "../../src/runtime/Scheduler.ts"
import { Supervisor } from "../../src/runtime/Supervisor.ts"
import { Signal, Signals } from "../../src/telemetry/Signals.ts"
import { claimed } from "../support/Deliveries.ts"

type Store = DeliveryStore["Type"]

const away = new PersistenceError({ operation: "DeliveryStore.claim", cause: "away" })

/** As many as were allotted, for ever. */
const backlog = ({ webhooks }: ClaimRequest) =>
  Effect.map(
    Effect.forEach(webhooks, ({ most, webhookId }) => Effect.replicateEffect(claimed({ webhookId }), most)),
    (deliveries) => deliveries.flat()
  )

const nothing = Effect.succeed<ReadonlyArray<ClaimedDelivery>>([])

const walkOf = (...webhooks: ReadonlyArray<Ids.WebhookId>) => Effect.succeed<DueWebhooks>({ webhooks, next: null })

const someWebhooks = (count: number) => Effect.replicateEffect(Ids.make("WebhookId"), count)

/** The scheduler over a store of which every claim is seen. */
const scheduler = (
  answer: Store["claim"],
  others: Partial<Store> = {},
  { places = 64, perWebhook = 8, pollInterval = "1 second" as Duration.DurationInput } = {}
) =>
  Effect.gen(function*() {
    const claims = yield* Queue.unbounded<ClaimRequest>()
    const said = yield* Queue.unbounded<string>()
    const logger = Logger.make(({ message }) =>
      Queue.unsafeOffer(said, String(Array.isArray(message) ? message[0] : message))
    )
    const layer = Scheduler.layer({ pollInterval, leaseSeconds: 30 }).pipe(
      Layer.provideMerge(DeliveryQueue.layer(places)),
      Layer.provideMerge(Bulkhead.layer({ places, placesPerWebhook: perWebhook })),
      Layer.provide(Layer.mock(DeliveryStore, {
        claim: (request) => Effect.zipRight(Queue.offer(claims, request), answer(request)),
        dueWebhooks: () => walkOf(),
        followClock: Effect.succeed({ nowMs: 0, putBackSeconds: 0 }),
        reclaimExpired: Effect.succeed({ ended: 0, setAside: 0 }),
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
const inTurn = <A, E>(first: Effect.Effect<A, E>, ...others: ReadonlyArray<Effect.Effect<A, E>>) =>
  Effect.map(
    Ref.make([first, ...others]),
    (left) => () => Effect.flatten(Ref.modify(left, (all) => [all[0] ?? first, all.length > 1 ? all.slice(1) : all]))
  )

const signal = (signal: Signal) => Effect.flatMap(Signals, (signals) => PubSub.publish(signals, signal))

const workFor = (...webhookIds: ReadonlyArray<Ids.WebhookId>) => signal(Signal.WorkArrived({ webhookIds }))

/** An attempt of this webhook ended, and its place is free. */
const attemptEnded = (webhookId: Ids.WebhookId) =>
  Effect.gen(function*() {
    const { id } = yield* claimed()
    yield* Effect.flatMap(Bulkhead, (bulkhead) => bulkhead.leave(webhookId, 2_000))
    yield* signal(Signal.AttemptRecorded({ deliveryId: id, webhookId, status: "delivered" }))
  })

const named = ({ webhooks }: ClaimRequest) => webhooks.map(({ webhookId }) => webhookId)

/** The poll has come to its pause. */
const pausing = Effect.repeat(Effect.zipRight(Effect.yieldNow(), TestClock.sleeps()), { until: Chunk.isNonEmpty })

/** Longer than a poll interval with its jitter, and shorter than two. */
const onePoll = Effect.zipRight(pausing, TestClock.adjust("1300 millis"))

const settled = TestClock.adjust("1 millis")

describe("Scheduler", () => {
  it.scoped("claims at a signal, for the webhooks that it names alone, without waiting for the poll", () =>
    Effect.gen(function*() {
      const { claims, layer } = yield* scheduler(() => nothing)
      yield* Effect.gen(function*() {
        for (const webhook of yield* someWebhooks(3)) {
          yield* workFor(webhook)
          assert.deepStrictEqual(named(yield* Queue.take(claims)), [webhook])
        }
        yield* settled
        assert.strictEqual(yield* Queue.size(claims), 0)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("claims at every poll for the webhooks that have something due, without a signal", () =>
    Effect.gen(function*() {
      const webhooks = yield* someWebhooks(3)
      const { claims, layer } = yield* scheduler(() => nothing, { dueWebhooks: () => walkOf(...webhooks) })
      yield* Effect.gen(function*() {
        assert.deepStrictEqual(named(yield* Queue.take(claims)), webhooks)
        for (let i = 0; i < 20; i++) {
          yield* onePoll
          assert.deepStrictEqual(named(yield* Queue.take(claims)), webhooks)
        }
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("puts what it claimed into the queue, under leases counted from before the claim", () =>
    Effect.gen(function*() {
      const delivery = yield* claimed()
      const { claims, layer } = yield* scheduler(() => Effect.delay(Effect.succeed([delivery]), "2 seconds"))
      yield* Effect.gen(function*() {
        yield* workFor(delivery.webhookId)
        assert.strictEqual((yield* Queue.take(claims)).leaseSeconds, 30)
        yield* TestClock.adjust("2 seconds")
        const leased = yield* Effect.flatMap(DeliveryQueue, (queue) => queue.take)
        assert.strictEqual(leased.delivery, delivery)
        assert.isAtMost(Number(leased.leaseEndsAt), 30_000_000_000)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("goes on claiming for a webhook that gave all it was asked for, up to what it may hold", () =>
    Effect.gen(function*() {
      const { claims, layer } = yield* scheduler(backlog, {}, { places: 8_000, perWebhook: 300 })
      yield* Effect.gen(function*() {
        const webhooks = yield* someWebhooks(3)
        yield* workFor(...webhooks)
        const first = yield* Queue.take(claims)
        assert.deepStrictEqual(first.webhooks.map(({ most }) => most), [166, 166, 166], "a share of 500")
        const second = yield* Queue.take(claims)
        assert.deepStrictEqual(named(second), webhooks)
        assert.deepStrictEqual(second.webhooks.map(({ most }) => most), [134, 134, 134])
        assert.notStrictEqual(first.leaseToken, second.leaseToken)
        yield* settled
        assert.strictEqual(yield* Queue.size(claims), 0)
        assert.strictEqual(yield* Effect.flatMap(DeliveryQueue, (queue) => queue.depth), 900)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("claims nothing for a webhook that holds what it may, until one of its attempts ended", () =>
    Effect.gen(function*() {
      const { claims, layer } = yield* scheduler(backlog)
      yield* Effect.gen(function*() {
        const [full, other] = [yield* Ids.make("WebhookId"), yield* Ids.make("WebhookId")]
        yield* workFor(full)
        assert.deepStrictEqual((yield* Queue.take(claims)).webhooks, [{ webhookId: full, most: 6 }])
        yield* workFor(full)
        yield* onePoll
        assert.strictEqual(yield* Queue.size(claims), 0)
        yield* workFor(full, other)
        assert.deepStrictEqual(named(yield* Queue.take(claims)), [other], "others are claimed for")
        yield* settled
        yield* Effect.replicateEffect(attemptEnded(full), 2)
        assert.deepStrictEqual((yield* Queue.take(claims)).webhooks, [{ webhookId: full, most: 1 }])
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("asks for 100 webhooks at most in one claim, and for the others in the next", () =>
    Effect.gen(function*() {
      const webhooks = yield* someWebhooks(250)
      const { claims, layer } = yield* scheduler(() => nothing, {}, { places: 4_000, perWebhook: 8 })
      yield* Effect.gen(function*() {
        yield* workFor(...webhooks)
        const requests = Array.from(yield* Queue.takeN(claims, 3))
        assert.deepStrictEqual(requests.map((request) => request.webhooks.length), [100, 100, 50])
        assert.deepStrictEqual(requests.flatMap(named), webhooks, "in the order in which they asked")
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("is not woken by attempts that end while nobody asks", () =>
    Effect.gen(function*() {
      const { claims, layer } = yield* scheduler(() => nothing)
      yield* Effect.gen(function*() {
        yield* settled
        yield* Effect.replicateEffect(Effect.flatMap(Ids.make("WebhookId"), attemptEnded), 10)
        yield* settled
        assert.strictEqual(yield* Queue.size(claims), 0)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("walks on from where the last step ended, until it is at the end, and then from the beginning", () =>
    Effect.gen(function*() {
      const [a, b, c] = [yield* Ids.make("WebhookId"), yield* Ids.make("WebhookId"), yield* Ids.make("WebhookId")]
      const steps = yield* Queue.unbounded<Ids.WebhookId | null>()
      const answer = yield* inTurn<DueWebhooks, never>(
        Effect.succeed({ webhooks: [a], next: a }),
        Effect.succeed({ webhooks: [], next: b }),
        Effect.succeed({ webhooks: [c], next: null })
      )
      const { claims, layer } = yield* scheduler(() => nothing, {
        dueWebhooks: (after) => Effect.zipRight(Queue.offer(steps, after), answer())
      })
      yield* Effect.gen(function*() {
        assert.deepStrictEqual(named(yield* Queue.take(claims)), [a, c])
        assert.deepStrictEqual(Array.from(yield* Queue.takeAll(steps)), [null, a, b])
        yield* onePoll
        assert.deepStrictEqual(named(yield* Queue.take(claims)), [c])
        assert.deepStrictEqual(Array.from(yield* Queue.takeAll(steps)), [null])
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("logs a claim that failed and goes on with the next poll", () =>
    Effect.gen(function*() {
      const [webhook] = yield* someWebhooks(1)
      assert(webhook)
      const answer = yield* inTurn<ReadonlyArray<ClaimedDelivery>, PersistenceError>(Effect.fail(away), nothing)
      const { claims, layer, said } = yield* scheduler(answer, { dueWebhooks: () => walkOf(webhook) })
      yield* Effect.gen(function*() {
        assert.strictEqual(yield* Queue.take(said), "claim failed, the next poll tries again")
        assert.strictEqual(yield* Queue.size(claims), 1)
        yield* onePoll
        assert.deepStrictEqual(Array.from(yield* Queue.takeN(claims, 2)).map(named), [[webhook], [webhook]])
        const [actor] = yield* Effect.flatMap(Supervisor, (supervisor) => supervisor.actors)
        assert.deepInclude(actor, { state: "running", restarts: 0 })
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("logs a sweep that failed and goes on with the next poll, from where it stood", () =>
    Effect.gen(function*() {
      const [at, due] = [yield* Ids.make("WebhookId"), yield* Ids.make("WebhookId")]
      const steps = yield* Queue.unbounded<Ids.WebhookId | null>()
      const answer = yield* inTurn<DueWebhooks, PersistenceError>(
        Effect.succeed({ webhooks: [], next: at }),
        Effect.fail(away),
        Effect.succeed({ webhooks: [due], next: null })
      )
      const { claims, layer, said } = yield* scheduler(() => nothing, {
        dueWebhooks: (after) => Effect.zipRight(Queue.offer(steps, after), answer())
      })
      yield* Effect.gen(function*() {
        assert.strictEqual(yield* Queue.take(said), "sweep failed, the next poll tries again")
        yield* workFor(at)
        assert.deepStrictEqual(named(yield* Queue.take(claims)), [at], "signals are heard meanwhile")
        yield* onePoll
        assert.deepStrictEqual(named(yield* Queue.take(claims)), [due])
        assert.deepStrictEqual(Array.from(yield* Queue.takeAll(steps)), [null, at, at])
        const [actor] = yield* Effect.flatMap(Supervisor, (supervisor) => supervisor.actors)
        assert.deepInclude(actor, { state: "running", restarts: 0 })
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("brings back what ended nodes left before it looks for what is due", () =>
    Effect.gen(function*() {
      const done = yield* Queue.unbounded<string>()
      const did = (what: string) => Queue.offer(done, what)
      const { layer, said } = yield* scheduler(() => nothing, {
        reclaimExpired: Effect.as(did("reclaim"), { ended: 3, setAside: 0 }),
        dueWebhooks: () => Effect.zipRight(did("walk"), walkOf())
      })
      yield* Effect.gen(function*() {
        assert.deepStrictEqual(Array.from(yield* Queue.takeN(done, 2)), ["reclaim", "walk"])
        assert.strictEqual(yield* Queue.take(said), "deliveries of an ended node are due again")
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("claims for the webhooks that another node names, and looks at all of them where it names none", () =>
    Effect.gen(function*() {
      const webhooks = yield* someWebhooks(2)
      const walks = yield* Queue.unbounded<void>()
      const walk = Effect.zipRight(Queue.offer(walks, undefined), walkOf())
      const { claims, layer } = yield* scheduler(() => nothing, { dueWebhooks: () => walk }, { pollInterval: "1 hour" })
      yield* Effect.gen(function*() {
        yield* Queue.take(walks)
        yield* signal(Signal.WorkAnnounced({ webhookIds: webhooks }))
        assert.deepStrictEqual(named(yield* Queue.take(claims)), webhooks)
        assert.strictEqual(yield* Queue.size(walks), 0)
        const any = signal(Signal.WorkAnnounced({ webhookIds: [] }))
        yield* any
        yield* Queue.take(walks)
        yield* Effect.repeatN(any, 20)
        yield* TestClock.adjust("999 millis")
        assert.strictEqual(yield* Queue.size(walks), 0, "a second lies between two")
        yield* TestClock.adjust("1 millis")
        yield* Queue.take(walks)
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* Queue.size(walks), 0)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("is restarted after a bug, and then hears signals as before", () =>
    Effect.gen(function*() {
      const [webhook] = yield* someWebhooks(1)
      assert(webhook)
      const answer = yield* inTurn<ReadonlyArray<ClaimedDelivery>, never>(Effect.dieMessage("a bug"), nothing)
      const { claims, layer } = yield* scheduler(answer)
      yield* Effect.gen(function*() {
        yield* workFor(webhook)
        yield* Queue.take(claims)
        yield* TestClock.adjust("200 millis")
        const [actor] = yield* Effect.flatMap(Supervisor, (supervisor) => supervisor.actors)
        assert.deepInclude(actor, { state: "running", restarts: 1 })
        yield* workFor(webhook)
        yield* Queue.take(claims)
      }).pipe(Effect.provide(layer))
    }))
})
