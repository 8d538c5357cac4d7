import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Ids from "../../src/domain/Ids.ts"
import { Bulkhead } from "../../src/runtime/Bulkhead.ts"

const someWebhooks = (count: number) => Effect.replicateEffect(Ids.make("WebhookId"), count)

/** Takes all it may, as webhooks with a backlog do, until nobody gets any more. How many each holds then. */
const takeAll = (webhooks: ReadonlyArray<Ids.WebhookId>) =>
  Effect.gen(function*() {
    const bulkhead = yield* Bulkhead
    const held = new Map<Ids.WebhookId, number>()
    for (;;) {
      const allotted = yield* bulkhead.allot(webhooks)
      if (allotted.length === 0) return webhooks.map((webhook) => held.get(webhook) ?? 0)
      for (const { most, webhookId } of allotted) {
        held.set(webhookId, (held.get(webhookId) ?? 0) + most)
      }
    }
  })

const most = (webhook: Ids.WebhookId) =>
  Effect.gen(function*() {
    const bulkhead = yield* Bulkhead
    const allotted = yield* bulkhead.allot([webhook])
    yield* bulkhead.enter(allotted, [])
    return allotted[0]?.most ?? 0
  })

/** Its latest attempt took so long. */
const attempted = (webhook: Ids.WebhookId, ms: number | null) =>
  Effect.flatMap(Bulkhead, (bulkhead) => Effect.map(bulkhead.enter([], [webhook]), () => bulkhead.leave(webhook, ms)))

const defaults = { places: 1_024, placesPerWebhook: 64 }

describe("Bulkhead", () => {
  it.effect("allows one webhook its cap, however much is free", () =>
    Effect.gen(function*() {
      const webhooks = yield* someWebhooks(1)
      assert.deepStrictEqual(yield* takeAll(webhooks), [64])
    }).pipe(Effect.provide(Bulkhead.layer(defaults))))

  it.effect("G61 sets nothing aside once it is closed, and what is in hand leaves as before", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead
      const [webhook] = yield* someWebhooks(1)
      assert(webhook)
      yield* bulkhead.enter([], [webhook])
      yield* bulkhead.close
      assert.isEmpty(yield* bulkhead.allot([webhook]))
      assert.isNull(yield* bulkhead.reserve(1))
      bulkhead.leave(webhook, 1)
      assert.strictEqual(yield* bulkhead.free, defaults.places)
    }).pipe(Effect.provide(Bulkhead.layer(defaults))))

  it.effect("allows each the less, the more of them want places, and never all", () =>
    Effect.gen(function*() {
      const held = yield* takeAll(yield* someWebhooks(50))
      assert.isTrue(held.every((count) => count >= 1 && count < 64), String(held))
      assert.isAtLeast(yield* Effect.flatMap(Bulkhead, (bulkhead) => bulkhead.free), 256)
    }).pipe(Effect.provide(Bulkhead.layer(defaults))))

  for (const hostile of [500, 5_000]) {
    it.effect(`B–F ${hostile} webhooks that keep their places waiting leave some to one that is quick`, () =>
      Effect.gen(function*() {
        const [healthy] = yield* someWebhooks(1)
        assert(healthy)
        yield* attempted(healthy, 20)
        const held = yield* takeAll(yield* someWebhooks(hostile))
        assert.isAtMost(held.reduce((sum, count) => sum + count, 0), 768)
        assert.strictEqual(yield* most(healthy), 32)
      }).pipe(Effect.provide(Bulkhead.layer(defaults))))
  }

  it.effect("forgets that a webhook was quick at its first slow attempt, and not for one that was never made", () =>
    Effect.gen(function*() {
      const [healthy] = yield* someWebhooks(1)
      assert(healthy)
      yield* takeAll(yield* someWebhooks(1_000))
      assert.strictEqual(yield* most(healthy), 0)
      yield* attempted(healthy, 1_000)
      yield* attempted(healthy, null)
      assert.isAbove(yield* most(healthy), 0)
      yield* attempted(healthy, 1_001)
      assert.strictEqual(yield* most(healthy), 0)
    }).pipe(Effect.provide(Bulkhead.layer(defaults))))

  it.effect("gives quick webhooks their share too, so that they may all turn slow at once", () =>
    Effect.gen(function*() {
      const quick = yield* someWebhooks(20)
      yield* Effect.forEach(quick, (webhook) => attempted(webhook, 5))
      const held = yield* takeAll(quick)
      assert.isAtLeast(Math.min(...held), 8)
      assert.isAtLeast(yield* Effect.flatMap(Bulkhead, (bulkhead) => bulkhead.free), 64)
    }).pipe(Effect.provide(Bulkhead.layer(defaults))))

  it.effect("has each place again when it was left", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead
      const webhooks = yield* someWebhooks(40)
      const held = yield* takeAll(webhooks)
      yield* Effect.forEach(webhooks, (webhook, i) =>
        Effect.replicateEffect(Effect.sync(() => bulkhead.leave(webhook, 3_000)), held[i] ?? 0))
      assert.strictEqual(yield* bulkhead.free, 1_024)
      assert.deepStrictEqual(yield* takeAll(webhooks), held)
    }).pipe(Effect.provide(Bulkhead.layer(defaults))))

  it.effect("lets every place be used where there are few, one webhook after the other", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* takeAll(yield* someWebhooks(3)), [1, 1, 0])
    }).pipe(Effect.provide(Bulkhead.layer({ places: 2, placesPerWebhook: 64 }))))

  it.effect("asks of one claim 32 deliveries of 16 webhooks at most, the first ones first", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead
      const webhooks = yield* someWebhooks(150)
      const allotted = yield* bulkhead.allot(webhooks)
      assert.deepStrictEqual(allotted.map(({ webhookId }) => webhookId), webhooks.slice(0, 16))
      assert.deepStrictEqual([...new Set(allotted.map(({ most }) => most))], [2])
    }).pipe(Effect.provide(Bulkhead.layer({ places: 4_096, placesPerWebhook: 64 }))))
})
