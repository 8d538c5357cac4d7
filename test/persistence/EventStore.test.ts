import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Option } from "effect"
import { EventTypeName } from "../../src/domain/EventType.ts"
import * as Ids from "../../src/domain/Ids.ts"
import { DeliveryHistory } from "../../src/persistence/DeliveryHistory.ts"
import { EventStore } from "../../src/persistence/EventStore.ts"
import { publishAlone } from "../support/PublishAlone.ts"
import * as Rows from "../support/Rows.ts"
import * as Stores from "../support/Stores.ts"

const { everyone } = Stores
const only = (client: Ids.ClientId) => ({ only: client })

const ids = (...webhooks: ReadonlyArray<{ readonly id: Ids.WebhookId }>) => webhooks.map(({ id }) => id).toSorted()

/** Which webhooks a published event goes to. */
const reached = (clientId: Ids.ClientId, type: string) =>
  Effect.map(
    Rows.publish(clientId, type),
    ([published]) => (published?.deliveries ?? []).map(({ webhookId }) => webhookId)
  )

const publishTo = (
  clientId: Ids.ClientId,
  target: Ids.WebhookId | null,
  ...types: readonly [string, ...Array<string>]
) =>
  Effect.gen(function*() {
    const occurredAt = yield* DateTime.now
    const one = (type: string) =>
      Effect.map(Ids.make("EventId"), (id) => ({ id, eventType: EventTypeName.make(type), occurredAt, body: "{}" }))
    const [first, ...rest] = types
    const events = [yield* one(first), ...(yield* Effect.forEach(rest, one))] as const
    const { published } = yield* publishAlone({
      clientId,
      events,
      idempotency: null,
      target,
      notice: null,
      lease: null
    })
    return { events, published }
  })

const count = (client: Ids.ClientId) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) =>
      sql`SELECT (SELECT count(*)::int FROM events WHERE client_id = ${client}) AS events,
      (SELECT count(*)::int FROM deliveries WHERE client_id = ${client}) AS deliveries`
  )

const expire = (client: Ids.ClientId) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`UPDATE idempotency_keys SET expires_at = now() - interval '1 second' WHERE client_id = ${client}`
  )

layer(Stores.layer, Stores.options)("EventStore", (it) => {
  it.effect("makes one delivery for each webhook of the client that wants the type, by name, prefix or star", () =>
    Effect.gen(function*() {
      const [client, other] = [yield* Rows.makeClient("fan"), yield* Rows.makeClient("stranger")]
      const exact = yield* Rows.makeWebhook(client, ["deal.won"])
      const prefix = yield* Rows.makeWebhook(client, ["deal.*"])
      const deep = yield* Rows.makeWebhook(client, ["deal.stage.*"])
      const all = yield* Rows.makeWebhook(client, ["*"])
      const many = yield* Rows.makeWebhook(client, ["deal.won", "deal.*", "*", "deal.*"])
      yield* Rows.makeWebhook(other, ["*", "deal.won"])
      assert.deepStrictEqual((yield* reached(client, "deal.won")).toSorted(), ids(exact, prefix, all, many))
      assert.deepStrictEqual((yield* reached(client, "deal.stage.new")).toSorted(), ids(prefix, deep, all, many))
      assert.deepStrictEqual((yield* reached(client, "deal")).toSorted(), ids(all, many))
      assert.deepStrictEqual((yield* reached(client, "dealer.won")).toSorted(), ids(all, many))
    }))

  it.effect("makes none for a webhook that its owner switched off, and holds those of one that is gone", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("off")
      yield* Rows.makeWebhook(client, ["*"], { isActive: false, deactivationReason: "owner" })
      const gone = yield* Rows.makeWebhook(client, ["*"], { isActive: false, deactivationReason: "gone" })
      const on = yield* Rows.makeWebhook(client, ["*"])
      assert.deepStrictEqual((yield* reached(client, "deal.won")).toSorted(), [gone.id, on.id].toSorted())
      const history = yield* DeliveryHistory
      const filter = { status: null, eventType: null, from: null, to: null }
      const held = (id: Ids.WebhookId) =>
        Effect.map(
          history.list(everyone, id, filter, { limit: 5, after: null }),
          ({ data }) => data.map(({ hold }) => hold)
        )
      assert.deepStrictEqual(yield* held(gone.id), ["deactivated"])
      assert.deepStrictEqual(yield* held(on.id), [null])
    }))

  it.effect("delivers to a target alone, whatever it subscribes to, unless it is another client's or switched off", () =>
    Effect.gen(function*() {
      const [client, other] = [yield* Rows.makeClient("targets"), yield* Rows.makeClient("untargeted")]
      const target = yield* Rows.makeWebhook(client, ["never.this"])
      yield* Rows.makeWebhook(client, ["*"])
      const off = yield* Rows.makeWebhook(client, ["*"], { isActive: false, deactivationReason: "owner" })
      const foreign = yield* Rows.makeWebhook(other, ["*"])
      const webhooks = (id: Ids.WebhookId) =>
        Effect.map(
          publishTo(client, id, "webhook.test"),
          ({ published }) => published.flatMap(({ deliveries }) => deliveries.map(({ webhookId }) => webhookId))
        )
      assert.deepStrictEqual(yield* webhooks(target.id), [target.id])
      assert.deepStrictEqual(yield* webhooks(foreign.id), [])
      assert.deepStrictEqual(yield* webhooks(off.id), [])
    }))

  it.effect("answers a batch event by event, in its order", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("batch")
      const deals = yield* Rows.makeWebhook(client, ["deal.*"])
      const leads = yield* Rows.makeWebhook(client, ["lead.*", "deal.lost"])
      const { events, published } = yield* publishTo(client, null, "lead.a", "deal.lost", "x.y", "deal.lost")
      assert.deepStrictEqual(published.map(({ eventId }) => eventId), events.map(({ id }) => id))
      assert.deepStrictEqual(
        published.map(({ deliveries }) => deliveries.map(({ webhookId }) => webhookId).toSorted()),
        [[leads.id], [deals.id, leads.id].toSorted(), [], [deals.id, leads.id].toSorted()]
      )
      assert.deepStrictEqual(yield* count(client), [{ events: 4, deliveries: 5 }])
    }))

  it.effect("publishes once under one key, however many ask at once, and gives all of them the same answer", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("idempotent")
      yield* Effect.replicateEffect(Rows.makeWebhook(client, ["*"]), 3)
      const idempotency = { key: "k", hash: "same" }
      const answers = yield* Effect.replicateEffect(Rows.publish(client, "deal.won", idempotency), 8, {
        concurrency: 8
      })
      answers.push(yield* Rows.publish(client, "deal.won", idempotency))
      for (const answer of answers) assert.deepStrictEqual(answer, answers[0])
      assert.lengthOf(answers[0]?.[0]?.deliveries ?? [], 3)
      assert.deepStrictEqual(yield* count(client), [{ events: 1, deliveries: 3 }])
    }))

  it.effect("refuses a key that was used for another request, and stores nothing of it", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("conflict")
      yield* Rows.publish(client, "deal.won", { key: "k", hash: "first" })
      const conflict = yield* Effect.flip(Rows.publish(client, "deal.won", { key: "k", hash: "second" }))
      assert.deepInclude(conflict, { _tag: "IdempotencyConflict", key: "k" })
      assert.deepStrictEqual(yield* count(client), [{ events: 1, deliveries: 0 }])
    }))

  it.effect("keeps the keys of one client apart from those of another", () =>
    Effect.gen(function*() {
      const [mine, other] = [yield* Rows.makeClient("keys-a"), yield* Rows.makeClient("keys-b")]
      const [first] = yield* Rows.publish(mine, "deal.won", { key: "k", hash: "a" })
      const [second] = yield* Rows.publish(other, "deal.won", { key: "k", hash: "b" })
      assert.notStrictEqual(first?.eventId, second?.eventId)
    }))

  it.effect("takes an expired key for a new one, for one of those who ask at once", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("expired-key")
      const [first] = yield* Rows.publish(client, "deal.won", { key: "k", hash: "first" })
      yield* expire(client)
      const again = yield* Effect.replicateEffect(Rows.publish(client, "deal.won", { key: "k", hash: "other" }), 4, {
        concurrency: 4
      })
      const ids = new Set(again.map(([published]) => published?.eventId))
      assert.strictEqual(ids.size, 1)
      assert.isFalse(ids.has(first?.eventId))
      assert.deepStrictEqual(yield* count(client), [{ events: 2, deliveries: 0 }])
    }))

  it.effect("forgets the keys past their time, and those alone", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      yield* store.expireIdempotencyKeys
      const client = yield* Rows.makeClient("sweep")
      yield* Rows.publish(client, "deal.won", { key: "a", hash: "h" })
      yield* Rows.publish(client, "deal.won", { key: "b", hash: "h" })
      assert.strictEqual(yield* store.expireIdempotencyKeys, 0)
      yield* expire(client)
      const [kept] = yield* Rows.publish(client, "deal.won", { key: "c", hash: "h" })
      assert.strictEqual(yield* store.expireIdempotencyKeys, 2)
      const [same] = yield* Rows.publish(client, "deal.won", { key: "c", hash: "h" })
      assert.strictEqual(same?.eventId, kept?.eventId)
    }))

  it.effect("shows an event with its body and its deliveries to its own client and the operator", () =>
    Effect.gen(function*() {
      const [client, other] = [yield* Rows.makeClient("reads"), yield* Rows.makeClient("pries")]
      const webhook = yield* Rows.makeWebhook(client, ["*"])
      const [published] = yield* Rows.publish(client, "deal.won")
      assert(published)
      const store = yield* EventStore
      for (const reach of [only(client), everyone]) {
        const event = Option.getOrThrow(yield* store.find(reach, published.eventId))
        assert.deepInclude(event, {
          clientId: client,
          eventType: EventTypeName.make("deal.won"),
          body: `{"data": {"n": 1}}`
        })
        const [delivery] = published.deliveries
        assert.lengthOf(event.deliveries, 1)
        assert.deepEqual(event.deliveries[0], { id: delivery?.id, webhookId: webhook.id, status: "pending" } as never)
      }
      assert.isTrue(Option.isNone(yield* store.find(only(other), published.eventId)))
      assert.isTrue(Option.isNone(yield* store.find(everyone, yield* Ids.make("EventId"))))
    }))

  it.effect("lists events newest first, page by page, by type, of one client only", () =>
    Effect.gen(function*() {
      const [mine, other] = [yield* Rows.makeClient("lists"), yield* Rows.makeClient("elsewhere")]
      const ids: Array<Ids.EventId> = []
      for (let i = 0; i < 5; i++) {
        for (const { eventId } of yield* Rows.publish(mine, i % 2 === 0 ? "deal.won" : "deal.lost")) ids.push(eventId)
        yield* Rows.publish(other, "deal.won")
      }
      const newest = ids.toSorted().toReversed()
      const store = yield* EventStore
      const list = (type: string | null, after: string | null, limit: number) =>
        store.list(only(mine), { eventType: type === null ? null : EventTypeName.make(type) }, { limit, after })
      const first = yield* list(null, null, 3)
      const second = yield* list(null, first.next, 3)
      assert.deepStrictEqual([...first.data, ...second.data].map(({ id }) => id), newest)
      assert.isNull(second.next)
      assert.lengthOf((yield* list("deal.lost", null, 10)).data, 2)
      assert.lengthOf((yield* list("deal", null, 10)).data, 0)
    }))
})
