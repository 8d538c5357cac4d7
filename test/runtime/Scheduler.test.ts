import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric, Queue, Ref, TestClock } from "effect"
import * as Ids from "../../src/domain/Ids.ts"
import type { DueWebhooks } from "../../src/persistence/DueWebhooks.ts"
import { DeliveryQueue } from "../../src/runtime/DeliveryQueue.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import { Signal } from "../../src/telemetry/Signals.ts"
import { claimed, leased, take } from "../support/Deliveries.ts"
import {
  attemptEnded,
  backlog,
  inTurn,
  named,
  nothing,
  onePoll,
  scheduler,
  settled,
  signal,
  someWebhooks,
  walkOf,
  workFor
} from "../support/SchedulerAlone.ts"

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
        const leased = yield* take
        assert.strictEqual(leased.delivery, delivery)
        assert.isAtMost(Number(leased.leaseEndsAt), 30_000_000_000)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("counts that a circuit came to be half open: its probe was claimed", () =>
    Effect.gen(function*() {
      const probe = yield* claimed({ probe: true, url: "https://probed.example/hook" })
      const { claims, layer } = yield* scheduler(() => Effect.succeed([probe]))
      yield* Effect.gen(function*() {
        yield* workFor(probe.webhookId)
        yield* Queue.take(claims)
        yield* settled
        const ofHost = Metric.tagged(Metrics.circuitChanges, "webhook_url_host", Metrics.hostTag("probed.example"))
        assert.strictEqual((yield* Metric.value(Metric.tagged(ofHost, "new_state", "half_open"))).count, 1)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("goes on claiming for a webhook that gave all it was asked for, up to what it may hold", () =>
    Effect.gen(function*() {
      const { claims, layer } = yield* scheduler(backlog, {}, { places: 8_000, perWebhook: 14 })
      yield* Effect.gen(function*() {
        const webhooks = yield* someWebhooks(3)
        yield* workFor(...webhooks)
        const first = yield* Queue.take(claims)
        assert.deepStrictEqual(first.webhooks.map(({ most }) => most), [10, 10, 10], "a share of 32")
        const queue = yield* DeliveryQueue
        yield* Effect.replicateEffect(take, 30)
        yield* TestClock.adjust("10 millis")
        const second = yield* Queue.take(claims)
        assert.deepStrictEqual(named(second), webhooks)
        assert.deepStrictEqual(second.webhooks.map(({ most }) => most), [4, 4, 4])
        assert.notStrictEqual(first.leaseToken, second.leaseToken)
        yield* settled
        assert.strictEqual(yield* Queue.size(claims), 0)
        assert.strictEqual(yield* queue.depth, 12)
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

  it.scoped("claims no more while many wait for their turn, and goes on when they have had it", () =>
    Effect.gen(function*() {
      const { claims, layer } = yield* scheduler(backlog, {}, { places: 8_000, perWebhook: 300 })
      yield* Effect.gen(function*() {
        const queue = yield* DeliveryQueue
        const webhooks = yield* someWebhooks(16)
        yield* workFor(...webhooks)
        yield* settled
        yield* onePoll
        assert.strictEqual(yield* Queue.size(claims), 1)
        assert.strictEqual(yield* queue.inLine, 32)
        yield* Effect.replicateEffect(take, 15)
        yield* TestClock.adjust("20 millis")
        assert.strictEqual(yield* Queue.size(claims), 1)
        yield* take
        yield* TestClock.adjust("10 millis")
        assert.strictEqual(yield* Queue.size(claims), 2)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("claims however many fresh deliveries wait for their turn", () =>
    Effect.gen(function*() {
      const { claims, layer } = yield* scheduler(() => nothing)
      yield* Effect.gen(function*() {
        const queue = yield* DeliveryQueue
        yield* queue.offerAll(yield* Effect.replicateEffect(leased(), 1_000))
        const webhooks = yield* someWebhooks(3)
        yield* workFor(...webhooks)
        assert.deepStrictEqual(named(yield* Queue.take(claims)), webhooks)
        yield* queue.giveBack
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("rests after a claim for twice as long as it took, beside what is published for four times, fifty milliseconds at most", () =>
    Effect.gen(function*() {
      const took = yield* Ref.make([10, 0, 200, 0, 8, 0, 10, 0])
      const slow = Effect.flatMap(
        Ref.modify(took, ([first = 0, ...rest]) => [first, rest]),
        (ms) => Effect.delay(nothing, ms)
      )
      const { claims, layer } = yield* scheduler(() => slow)
      yield* Effect.gen(function*() {
        const queue = yield* DeliveryQueue
        const rests = [
          { ms: 10, rest: 20, after: null },
          { ms: 200, rest: 50, after: null },
          { ms: 8, rest: 32, after: "0 millis" },
          { ms: 10, rest: 20, after: "1 second" }
        ] as const
        for (const { after, ms, rest } of rests) {
          if (after !== null) {
            yield* queue.offerAll([yield* leased()])
            yield* take
            yield* TestClock.adjust(after)
          }
          yield* workFor(yield* Ids.make("WebhookId"))
          yield* Queue.take(claims)
          yield* workFor(yield* Ids.make("WebhookId"))
          yield* TestClock.adjust(ms + rest - 1)
          assert.strictEqual(yield* Queue.size(claims), 0)
          yield* TestClock.adjust(1)
          yield* Queue.take(claims)
        }
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("asks for 16 webhooks at most in one claim, and for the others in the next", () =>
    Effect.gen(function*() {
      const webhooks = yield* someWebhooks(37)
      const { claims, layer } = yield* scheduler(() => nothing, {}, { places: 4_000, perWebhook: 8 })
      yield* Effect.gen(function*() {
        yield* workFor(...webhooks)
        const requests = Array.from(yield* Queue.takeN(claims, 3))
        assert.deepStrictEqual(requests.map((request) => request.webhooks.length), [16, 16, 5])
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

  const restingAfterSteps = (restMs: number, isBesideFresh: boolean) =>
    Effect.gen(function*() {
      const [a, b] = [yield* Ids.make("WebhookId"), yield* Ids.make("WebhookId")]
      const steps = yield* Queue.unbounded<Ids.WebhookId | null>()
      const answer = yield* inTurn<DueWebhooks, never>(
        Effect.delay(Effect.succeed({ webhooks: [a], next: a }), "20 millis"),
        Effect.succeed({ webhooks: [b], next: null })
      )
      const { claims, layer } = yield* scheduler(() => nothing, {
        dueWebhooks: (after) => Effect.zipRight(Queue.offer(steps, after), answer())
      })
      yield* Effect.gen(function*() {
        const queue = yield* DeliveryQueue
        if (isBesideFresh) yield* Effect.zipRight(queue.offerAll([yield* leased()]), take)
        yield* TestClock.adjust("20 millis")
        assert.deepStrictEqual(named(yield* Queue.take(claims)), [a])
        yield* TestClock.adjust(restMs - 1)
        assert.deepStrictEqual(Array.from(yield* Queue.takeAll(steps)), [null])
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(Array.from(yield* Queue.takeAll(steps)), [a])
        assert.deepStrictEqual(named(yield* Queue.take(claims)), [b])
      }).pipe(Effect.provide(layer))
    })

  it.scoped("rests after a step of the walk for three times as long as it took, and claims meanwhile for whom it found", () =>
    restingAfterSteps(60, false))

  it.scoped("rests after a step of the walk for twelve times as long beside what is published", () =>
    restingAfterSteps(240, true))

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
})
