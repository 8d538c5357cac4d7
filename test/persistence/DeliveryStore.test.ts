import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { randomUUID } from "node:crypto"
import type { WebhookId } from "../../src/domain/Ids.ts"
import { ClientStore } from "../../src/persistence/ClientStore.ts"
import { DeliveryHistory } from "../../src/persistence/DeliveryHistory.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import type { DueWebhooks } from "../../src/persistence/DueWebhooks.ts"
import { EventStore } from "../../src/persistence/EventStore.ts"
import { Partitions } from "../../src/persistence/Partitions.ts"
import { ReadCache } from "../../src/persistence/ReadCache.ts"
import { WebhookStore } from "../../src/persistence/WebhookStore.ts"
import { eventually } from "../support/Eventually.ts"
import * as PgTest from "../support/PgTest.ts"
import * as Rows from "../support/Rows.ts"

const Stores = Layer.mergeAll(
  ClientStore.layer,
  DeliveryHistory.layer,
  DeliveryStore.layer,
  EventStore.layer({ idempotencyTtl: "1 day" }),
  Partitions.layer,
  WebhookStore.layer
).pipe(Layer.provide(ReadCache.layer), Layer.provideMerge(PgTest.layer))

const everyone = { only: null }

const { claim } = Rows

/** Takes out of the way whatever an earlier test left due. */
const settle = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`DELETE FROM deliveries`)

const webhookOf = (id: WebhookId) =>
  Effect.flatMap(WebhookStore, (store) => Effect.map(store.find(everyone, id), Option.getOrThrow))

layer(Stores, { timeout: "60 seconds", excludeTestServices: true })("DeliveryStore", (it) => {
  it.effect("two claimers never share a delivery", () =>
    Effect.gen(function*() {
      yield* settle
      const client = yield* Rows.makeClient("claimers")
      yield* Effect.replicateEffect(Rows.makeWebhook(client, ["deal.*"]), 5)
      yield* Effect.replicateEffect(Rows.publish(client, "deal.won"), 20, { concurrency: 4 })
      const claims = yield* Effect.replicateEffect(claim(20), 8, { concurrency: 8 })
      const ids = claims.flatMap((deliveries) => deliveries.map(({ id }) => id))
      assert.strictEqual(new Set(ids).size, ids.length)
      assert.strictEqual(ids.length, 100)
    }))

  it.effect("a claim takes of each webhook as many as it was allotted, the oldest first, and of no other", () =>
    Effect.gen(function*() {
      yield* settle
      const client = yield* Rows.makeClient("allotted")
      const [many, few] = [yield* Rows.makeWebhook(client, ["deal.*"]), yield* Rows.makeWebhook(client, ["deal.won"])]
      yield* Rows.makeWebhook(client, ["*"])
      const published = yield* Effect.replicateEffect(Rows.publish(client, "deal.won"), 5)
      const store = yield* DeliveryStore
      const deliveries = yield* store.claim({
        webhooks: [{ webhookId: many.id, most: 3 }, { webhookId: few.id, most: 1 }],
        leaseToken: randomUUID(),
        leaseSeconds: 30
      })
      const eventsOf = (id: WebhookId) =>
        deliveries.filter(({ webhookId }) => webhookId === id).map(({ eventId }) => eventId)
      const events = published.flatMap((one) => one.map(({ eventId }) => eventId))
      assert.deepStrictEqual(eventsOf(many.id), events.slice(0, 3))
      assert.deepStrictEqual(eventsOf(few.id), events.slice(0, 1))
      assert.lengthOf(deliveries, 4)
    }))

  it.effect("the walk goes on where it ended, and tells of every webhook that has something due, once", () =>
    Effect.gen(function*() {
      yield* settle
      const client = yield* Rows.makeClient("walk")
      const webhooks = yield* Effect.replicateEffect(Rows.makeWebhook(client, ["deal.won"]), 7)
      yield* Rows.makeWebhook(client, ["deal.lost"])
      yield* Effect.replicateEffect(Rows.publish(client, "deal.won"), 3)
      const store = yield* DeliveryStore
      const seen: Array<WebhookId> = []
      let next: WebhookId | null = null
      for (let turn = 0; turn < 4; turn++) {
        const step: DueWebhooks = yield* store.dueWebhooks(next, 2)
        seen.push(...step.webhooks)
        next = step.next
      }
      assert.isNull(next)
      assert.deepStrictEqual(seen, webhooks.map(({ id }) => id).toSorted())
    }))

  it.effect("the walk passes by webhooks of which nothing is due yet, and what is leased", () =>
    Effect.gen(function*() {
      yield* settle
      const client = yield* Rows.makeClient("later")
      const [later, leased, due] = [
        yield* Rows.makeWebhook(client, ["a.*"]),
        yield* Rows.makeWebhook(client, ["b.*"]),
        yield* Rows.makeWebhook(client, ["c.*"])
      ]
      yield* Effect.forEach(["a.a", "b.b"], (type) => Rows.publish(client, type))
      const store = yield* DeliveryStore
      const claimed = yield* claim(10)
      const failed = { result: "failure_retryable", status: "failed_retryable", delayMs: 60_000 } as const
      const one = claimed.find(({ webhookId }) => webhookId === later.id)
      assert(one)
      yield* store.record([yield* Rows.outcome(one, failed)])
      assert.isTrue(claimed.some(({ webhookId }) => webhookId === leased.id))
      yield* Rows.publish(client, "c.c")
      const step = yield* store.dueWebhooks(null, 2)
      assert.deepStrictEqual(step.webhooks.concat((yield* store.dueWebhooks(step.next, 2)).webhooks), [due.id])
    }))

  it.effect("a claimed delivery carries the body and the webhook", () =>
    Effect.gen(function*() {
      yield* settle
      const client = yield* Rows.makeClient("carries")
      const webhook = yield* Rows.makeWebhook(client, ["*"], { retryCount: 3 })
      yield* Rows.publish(client, "deal.won")
      const [delivery] = yield* claim(10)
      assert.strictEqual(delivery?.body, `{"data": {"n": 1}}`)
      assert.strictEqual(delivery?.webhookId, webhook.id)
      assert.strictEqual(delivery?.retryCount, 3)
      assert.strictEqual(delivery?.attemptCount, 0)
    }))

  it.effect("an outcome under another lease changes nothing", () =>
    Effect.gen(function*() {
      yield* settle
      const client = yield* Rows.makeClient("fenced")
      yield* Rows.makeWebhook(client, ["*"])
      yield* Rows.publish(client, "deal.won")
      const [delivery] = yield* claim(1)
      assert(delivery)
      const store = yield* DeliveryStore
      const stale = yield* Rows.outcome(delivery, { leaseToken: randomUUID() })
      assert.strictEqual((yield* store.record([stale])).deliveries.size, 0)
      const history = yield* DeliveryHistory
      const before = Option.getOrThrow(yield* history.find(everyone, delivery.id))
      assert.strictEqual(before.status, "pending")
      assert.lengthOf(before.attempts, 0)
      const good = yield* Rows.outcome(delivery)
      assert.isTrue((yield* store.record([good])).deliveries.has(delivery.id))
      assert.strictEqual((yield* store.record([good])).deliveries.size, 0, "nor does the same outcome a second time")
      const after = Option.getOrThrow(yield* history.find(everyone, delivery.id))
      assert.strictEqual(after.status, "delivered")
      assert.lengthOf(after.attempts, 1)
      assert.deepStrictEqual(after.attempts[0]?.exchange, Rows.exchange(200))
      assert.strictEqual(after.lastResponseBodySample, "o\uFFFDk")
    }))

  it.effect("a batch counts a webhook's failures from its last success on", () =>
    Effect.gen(function*() {
      yield* settle
      const client = yield* Rows.makeClient("tally")
      const webhook = yield* Rows.makeWebhook(client, ["*"])
      yield* Effect.replicateEffect(Rows.publish(client, "deal.won"), 6)
      const deliveries = yield* claim(10)
      const store = yield* DeliveryStore
      const failed = { result: "failure_retryable", status: "failed_retryable", delayMs: 60_000 } as const
      const outcomes = yield* Effect.forEach(deliveries, (delivery, i) =>
        Rows.outcome(delivery, i === 2 ? {} : i === 5 ? { ...failed, counted: false } : failed))
      yield* store.record(outcomes.slice(0, 2))
      assert.strictEqual((yield* webhookOf(webhook.id)).failureCount, 2)
      yield* store.record(outcomes.slice(2))
      const counted = yield* webhookOf(webhook.id)
      assert.strictEqual(counted.failureCount, 2, "two after the success; the uncharged one does not count")
      assert.isNotNull(counted.lastSuccessfulDeliveryAt)
      assert.isNotNull(counted.lastFailureAt)
    }))

  it.effect("410 switches the webhook off, and what was due is held until it is switched on", () =>
    Effect.gen(function*() {
      yield* settle
      const client = yield* Rows.makeClient("gone")
      const webhook = yield* Rows.makeWebhook(client, ["*"])
      yield* Effect.replicateEffect(Rows.publish(client, "deal.won"), 3)
      const [delivery] = yield* claim(1)
      assert(delivery)
      const store = yield* DeliveryStore
      const gone = { result: "failure_permanent", status: "failed_permanent", errorClass: "http_410" } as const
      yield* store.record([yield* Rows.outcome(delivery, gone)])
      const off = yield* webhookOf(webhook.id)
      assert.deepInclude(off, { isActive: false, deactivationReason: "gone" })
      assert.lengthOf(yield* claim(10), 0)
      yield* Rows.publish(client, "deal.won")
      const history = yield* DeliveryHistory
      const filter = { status: "pending", eventType: null, from: null, to: null } as const
      const waiting = yield* history.list({ only: null }, webhook.id, filter, { limit: 10, after: null })
      assert.deepStrictEqual(waiting.data.map(({ hold }) => hold), ["deactivated", "deactivated", "deactivated"])
      const webhooks = yield* WebhookStore
      yield* webhooks.modify(
        everyone,
        webhook.id,
        (current) => Effect.succeed({ ...current, isActive: true, deactivationReason: null })
      )
      assert.lengthOf(yield* claim(10), 1, "one at once, to begin with")
    }))

  it.effect("a lease that ran out becomes an attempt with unknown outcome, and the delivery is due again", () =>
    Effect.gen(function*() {
      yield* settle
      const client = yield* Rows.makeClient("expired")
      yield* Rows.makeWebhook(client, ["*"])
      yield* Rows.publish(client, "deal.won")
      const [delivery] = yield* claim(1, 0)
      assert(delivery)
      const store = yield* DeliveryStore
      assert.deepStrictEqual(yield* store.reclaimExpired, { ended: 1, setAside: 0 })
      assert.strictEqual(
        (yield* store.record([yield* Rows.outcome(delivery)])).deliveries.size,
        0,
        "the old lease is void"
      )
      const [again] = yield* eventually(claim(1), ({ length }) => length === 1)
      assert.deepInclude(again, { id: delivery.id, attemptCount: 1, chargedCount: 0 })
      const history = yield* DeliveryHistory
      const { attempts } = Option.getOrThrow(yield* history.find(everyone, delivery.id))
      assert.deepInclude(attempts[0], { number: 1, result: "outcome_unknown", exchange: null })
    }))

  it.effect("deliveries of a deleted webhook are handed out without its secret, to be ended", () =>
    Effect.gen(function*() {
      yield* settle
      const client = yield* Rows.makeClient("deleted")
      const webhook = yield* Rows.makeWebhook(client, ["*"])
      yield* Rows.publish(client, "deal.won")
      yield* Effect.flatMap(WebhookStore, (store) => store.remove(everyone, webhook.id))
      const [delivery] = yield* claim(1)
      assert.isNull(delivery?.secretSealed)
      assert.lengthOf((yield* Rows.publish(client, "deal.won"))[0]?.deliveries ?? [], 0)
    }))

  it.effect("sending again by hand waits for the attempt under way, and gives all attempts back", () =>
    Effect.gen(function*() {
      yield* settle
      const client = yield* Rows.makeClient("requeue")
      yield* Rows.makeWebhook(client, ["*"])
      yield* Rows.publish(client, "deal.won")
      const [delivery] = yield* claim(1)
      assert(delivery)
      const store = yield* DeliveryStore
      const history = yield* DeliveryHistory
      assert.isFalse(Option.getOrThrow(yield* history.requeue(everyone, delivery.id)).requeued)
      yield* store.record([yield* Rows.outcome(delivery)])
      assert.isTrue(Option.getOrThrow(yield* history.requeue(everyone, delivery.id)).requeued)
      const [again] = yield* eventually(claim(1), ({ length }) => length === 1)
      assert.deepInclude(again, { id: delivery.id, attemptCount: 1, chargedCount: 0 })
    }))

  it.effect("what is given back unsent is due at once, under a new lease", () =>
    Effect.gen(function*() {
      yield* settle
      const client = yield* Rows.makeClient("release")
      yield* Rows.makeWebhook(client, ["*"])
      yield* Rows.publish(client, "deal.won")
      const deliveries = yield* claim(1)
      const store = yield* DeliveryStore
      yield* store.release(deliveries)
      const [again] = yield* claim(1)
      assert.strictEqual(again?.id, deliveries[0]?.id)
      assert.notStrictEqual(again?.leaseToken, deliveries[0]?.leaseToken)
      yield* store.release(deliveries)
      assert.lengthOf(yield* claim(1), 0, "the old lease gives nothing back")
    }))
})
