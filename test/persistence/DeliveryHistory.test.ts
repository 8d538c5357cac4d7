import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Option } from "effect"
import { EventTypeName } from "../../src/domain/EventType.ts"
import * as Ids from "../../src/domain/Ids.ts"
import { type DeliveryFilter, DeliveryHistory } from "../../src/persistence/DeliveryHistory.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import type { Outcome } from "../../src/persistence/Outcomes.ts"
import * as Rows from "../support/Rows.ts"
import * as Stores from "../support/Stores.ts"

const { everyone } = Stores
const only = (client: Ids.ClientId) => ({ only: client })
const anything: DeliveryFilter = { status: null, eventType: null, from: null, to: null }

const permanent = { result: "failure_permanent", status: "failed_permanent", errorClass: "http_4xx" } as const
const retryable = {
  result: "failure_retryable",
  status: "failed_retryable",
  errorClass: "http_5xx",
  delayMs: 0
} as const

/** Claims everything that is due and writes these outcomes, in the order of the claim. */
const attempt = (...changes: ReadonlyArray<Partial<Outcome>>) =>
  Effect.gen(function*() {
    const store = yield* DeliveryStore
    const deliveries = yield* Rows.claim(100)
    const outcomes = yield* Effect.forEach(deliveries, (delivery, i) => Rows.outcome(delivery, changes[i] ?? {}))
    yield* store.record(outcomes)
    return deliveries.map(({ id }) => id)
  })

/** A client with one webhook that wants everything, and no other work about. */
const begin = (name: string) =>
  Effect.gen(function*() {
    yield* Effect.flatMap(SqlClient.SqlClient, (sql) => sql`DELETE FROM deliveries`)
    const client = yield* Rows.makeClient(name)
    return { client, webhook: yield* Rows.makeWebhook(client, ["*"]) }
  })

layer(Stores.layer, Stores.options)("DeliveryHistory", (it) => {
  it.effect("shows a delivery with every attempt made, in order", () =>
    Effect.gen(function*() {
      const { client, webhook } = yield* begin("detail")
      yield* Rows.publish(client, "deal.won")
      const [id] = yield* attempt({ ...retryable, exchange: Rows.exchange(503), errorMessage: "busy" })
      assert(id)
      yield* attempt({})
      const history = yield* DeliveryHistory
      const delivery = Option.getOrThrow(yield* history.find(only(client), id))
      assert.deepInclude(delivery, {
        webhookId: webhook.id,
        clientId: client,
        status: "delivered",
        attemptCount: 2,
        nextRetryAt: null,
        lastResponseCode: 200,
        errorClass: null,
        body: `{"data": {"n": 1}}`
      })
      assert.isNotNull(delivery.deliveredAt)
      assert.deepStrictEqual(
        delivery.attempts.map((made) => [made.number, made.result, made.errorClass, made.errorMessage]),
        [[1, "failure_retryable", "http_5xx", "busy"], [2, "success", null, null]]
      )
      assert.deepStrictEqual(delivery.attempts.map(({ exchange }) => exchange), [
        Rows.exchange(503),
        Rows.exchange(200)
      ])
    }))

  it.effect("hides it from other clients, who can neither read it nor send it again", () =>
    Effect.gen(function*() {
      const { client } = yield* begin("owner")
      const other = yield* Rows.makeClient("prying")
      yield* Rows.publish(client, "deal.won")
      const [id] = yield* attempt(permanent)
      assert(id)
      const history = yield* DeliveryHistory
      assert.isTrue(Option.isNone(yield* history.find(only(other), id)))
      assert.isTrue(Option.isNone(yield* history.requeue(only(other), id)))
      assert.isTrue(Option.isNone(yield* history.requeue(everyone, yield* Ids.make("DeliveryId"))))
      assert.strictEqual(Option.getOrThrow(yield* history.find(everyone, id)).status, "failed_permanent")
    }))

  it.effect("makes an ended delivery due again, as pending and with its history", () =>
    Effect.gen(function*() {
      const { client } = yield* begin("again")
      yield* Rows.publish(client, "deal.won")
      yield* Rows.publish(client, "deal.won")
      const ids = yield* attempt(permanent, {})
      const history = yield* DeliveryHistory
      for (const [n, id] of ids.entries()) {
        assert.deepInclude(Option.getOrThrow(yield* history.requeue(only(client), id)), {
          clientId: client,
          status: n === 0 ? "failed_permanent" : "delivered",
          attemptCount: 1,
          requeued: true
        })
        const waiting = Option.getOrThrow(yield* history.find(everyone, id))
        assert.deepInclude(waiting, { status: "pending", deliveredAt: null, attemptCount: 1 })
        assert.isNotNull(waiting.nextRetryAt)
        assert.lengthOf(waiting.attempts, 1)
      }
      assert.deepStrictEqual((yield* attempt()).toSorted(), ids.toSorted())
    }))

  it.effect("sends again once, however many wish it at once", () =>
    Effect.gen(function*() {
      const { client } = yield* begin("at-once")
      yield* Rows.publish(client, "deal.won")
      const [id] = yield* attempt(permanent)
      assert(id)
      const history = yield* DeliveryHistory
      yield* Effect.replicateEffect(history.requeue(everyone, id), 5, { concurrency: 5 })
      assert.deepStrictEqual(yield* attempt(), [id])
      assert.deepStrictEqual(yield* attempt(), [])
    }))

  it.effect("lists a webhook's deliveries newest first, page by page, and no other's", () =>
    Effect.gen(function*() {
      const { client, webhook } = yield* begin("pages")
      const neighbour = yield* Rows.makeWebhook(client, ["*"])
      const published = yield* Effect.replicateEffect(Rows.publish(client, "deal.won"), 5)
      const mine = published.flat().flatMap(({ deliveries }) =>
        deliveries.filter(({ webhookId }) => webhookId === webhook.id).map(({ id }) => id)
      )
      const history = yield* DeliveryHistory
      const first = yield* history.list(everyone, webhook.id, anything, { limit: 2, after: null })
      const second = yield* history.list(everyone, webhook.id, anything, { limit: 2, after: first.next })
      const third = yield* history.list(everyone, webhook.id, anything, { limit: 2, after: second.next })
      const seen = [first, second, third].flatMap(({ data }) => data.map(({ id }) => id))
      assert.deepStrictEqual(seen, mine.toSorted().toReversed())
      assert.isNull(third.next)
      assert.lengthOf((yield* history.list(everyone, neighbour.id, anything, { limit: 10, after: null })).data, 5)
      const stranger = yield* Rows.makeClient("pages-stranger")
      assert.isEmpty((yield* history.list({ only: stranger }, webhook.id, anything, { limit: 10, after: null })).data)
    }))

  it.effect("lists by status, by type and by time", () =>
    Effect.gen(function*() {
      const { client, webhook } = yield* begin("filters")
      const history = yield* DeliveryHistory
      const list = (filter: Partial<DeliveryFilter>) =>
        Effect.map(
          history.list(everyone, webhook.id, { ...anything, ...filter }, { limit: 10, after: null }),
          ({ data }) => data.map(({ eventType, status }) => `${eventType} ${status}`)
        )
      for (const type of ["a", "b", "c"]) {
        yield* Rows.publish(client, type)
      }
      yield* attempt(permanent, { ...retryable, delayMs: 60_000 })
      assert.deepStrictEqual(yield* list({}), ["c delivered", "b failed_retryable", "a failed_permanent"])
      assert.deepStrictEqual(yield* list({ status: "failed_retryable" }), ["b failed_retryable"])
      assert.deepStrictEqual(yield* list({ status: "pending" }), [])
      assert.deepStrictEqual(yield* list({ eventType: EventTypeName.make("c") }), ["c delivered"])

      const sql = yield* SqlClient.SqlClient
      yield* sql`UPDATE deliveries SET created_at = '2025-02-20T10:00:00Z' WHERE event_type = 'b'`
      assert.deepStrictEqual(yield* list({ to: DateTime.unsafeMake("2025-02-20T10:00:00.001Z") }), [
        "b failed_retryable"
      ])
      assert.deepStrictEqual(
        yield* list({ to: DateTime.unsafeMake("2025-02-20T10:00:00Z") }),
        [],
        "the end is not within"
      )
      assert.deepStrictEqual(yield* list({ from: DateTime.unsafeMake("2025-02-20T10:00:00Z") }), [
        "c delivered",
        "b failed_retryable",
        "a failed_permanent"
      ])
      assert.deepStrictEqual(yield* list({ from: DateTime.unsafeMake("2025-02-20T10:00:00.001Z") }), [
        "c delivered",
        "a failed_permanent"
      ])
    }))
})
