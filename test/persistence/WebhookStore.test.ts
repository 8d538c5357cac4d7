import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { DateTime, Deferred, Effect, Fiber, Option } from "effect"
import { EventTypeName, Subscription } from "../../src/domain/EventType.ts"
import type { ClientId, WebhookId } from "../../src/domain/Ids.ts"
import { WebhookStore } from "../../src/persistence/WebhookStore.ts"
import { eventually } from "../support/Eventually.ts"
import * as Rows from "../support/Rows.ts"
import * as Stores from "../support/Stores.ts"

const { everyone } = Stores
const only = (client: ClientId) => ({ only: client })
const whole = { limit: 100, after: null }
const any = { isActive: null, eventType: null }

const subscriptionsOf = (id: WebhookId) =>
  Effect.gen(function*() {
    const store = yield* WebhookStore
    const webhook = Option.getOrThrow(yield* store.find(everyone, id))
    const deliveries = yield* Effect.forEach(["deal.won", "lead.created", "x.y"], (type) =>
      Effect.map(Rows.publish(webhook.clientId, type), ([published]) => published?.deliveries.length))
    return { events: webhook.events, deliveries }
  })

layer(Stores.layer, Stores.options)("WebhookStore", (it) => {
  it.effect("keeps everything that a definition says", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("whole")
      const change = {
        name: "CRM",
        description: "d",
        url: "https://example.com/a?b=c",
        headerNames: ["X-One", "Authorization"],
        headersSealed: new Uint8Array([7, 0, 255]),
        secretSealed: new Uint8Array([9]),
        previousSecretSealed: new Uint8Array([8]),
        previousSecretExpiresAt: DateTime.unsafeMake("2031-01-01T00:00:00Z"),
        signatures: ["x_signature", "deeper_hub"] as const,
        retryCount: 20,
        timeoutMs: 100
      }
      const made = yield* Rows.makeWebhook(client, ["deal.*", "*"], change)
      const found = yield* Effect.flatMap(WebhookStore, (store) => store.find(only(client), made.id))
      const { headersSealed, previousSecretSealed, readAt: _, secretSealed, ...stored } = Option.getOrThrow(found)
      assert.deepStrictEqual(stored, made)
      const { headersSealed: _h, previousSecretSealed: _p, secretSealed: _s, ...plain } = change
      assert.deepInclude(made, { ...plain, clientId: client, isActive: true, failureCount: 0, circuit: "closed" })
      const bytes = [headersSealed, secretSealed, previousSecretSealed].map((sealed) => Array.from(sealed ?? []))
      assert.deepStrictEqual(bytes, [[7, 0, 255], [9], [8]])
    }))

  it.effect("shows another client's webhook to nobody, and lets nobody change or remove it", () =>
    Effect.gen(function*() {
      const [mine, other] = [yield* Rows.makeClient("mine"), yield* Rows.makeClient("other")]
      const { id } = yield* Rows.makeWebhook(mine, ["*"])
      const store = yield* WebhookStore
      const changed = store.modify(only(other), id, () => Effect.dieMessage("it was read"))
      assert.isTrue(Option.isNone(yield* store.find(only(other), id)))
      assert.isTrue(Option.isNone(yield* changed))
      assert.isTrue(Option.isNone(yield* store.remove(only(other), id)))
      assert.deepStrictEqual((yield* store.list(only(other), any, whole)).data, [])
      assert.isTrue(Option.isSome(yield* store.find(only(mine), id)))
      assert.isTrue(Option.isSome(yield* store.find(everyone, id)))
      assert.isTrue((yield* store.list(everyone, any, whole)).data.some((webhook) => webhook.id === id))
    }))

  it.effect("lists newest first, page by page, of one client only", () =>
    Effect.gen(function*() {
      const [mine, other] = [yield* Rows.makeClient("pages"), yield* Rows.makeClient("others")]
      const ids: Array<WebhookId> = []
      for (let i = 0; i < 5; i++) {
        ids.push((yield* Rows.makeWebhook(mine, ["*"])).id)
        yield* Rows.makeWebhook(other, ["*"])
      }
      const store = yield* WebhookStore
      const first = yield* store.list(only(mine), any, { limit: 2, after: null })
      const second = yield* store.list(only(mine), any, { limit: 2, after: first.next })
      const third = yield* store.list(only(mine), any, { limit: 2, after: second.next })
      const seen = [first, second, third].flatMap(({ data }) => data.map(({ id }) => id))
      assert.deepStrictEqual(seen, ids.toSorted().toReversed())
      assert.isNull(third.next)
      const foreign = (yield* store.list(only(other), any, { limit: 1, after: null })).next
      const { data } = yield* store.list(only(mine), any, { limit: 10, after: foreign })
      assert.isTrue(data.every(({ clientId }) => clientId === mine), "another's cursor leads to one's own rows")
    }))

  it.effect("lists by activity, and by an event type that would reach the webhook", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("filters")
      const off = { isActive: false, deactivationReason: "owner" } as const
      const prefix = yield* Rows.makeWebhook(client, ["deal.*"])
      const exact = yield* Rows.makeWebhook(client, ["deal.won", "lead.*"])
      const all = yield* Rows.makeWebhook(client, ["*"], off)
      const store = yield* WebhookStore
      const list = (isActive: boolean | null, type: string | null) =>
        Effect.map(
          store.list(only(client), { isActive, eventType: type === null ? null : EventTypeName.make(type) }, whole),
          ({ data }) => new Set(data.map(({ id }) => id))
        )
      assert.deepStrictEqual(yield* list(null, null), new Set([prefix.id, exact.id, all.id]))
      assert.deepStrictEqual(yield* list(true, null), new Set([prefix.id, exact.id]))
      assert.deepStrictEqual(yield* list(false, null), new Set([all.id]))
      assert.deepStrictEqual(yield* list(null, "deal.won"), new Set([prefix.id, exact.id, all.id]))
      assert.deepStrictEqual(yield* list(true, "deal.lost"), new Set([prefix.id]))
      assert.deepStrictEqual(yield* list(null, "deal"), new Set([all.id]))
    }))

  it.effect("lets two changes at once follow one another", () =>
    Effect.gen(function*() {
      const { id } = yield* Rows.makeWebhook(yield* Rows.makeClient("modify"), ["*"], { retryCount: 1 })
      const store = yield* WebhookStore
      const grow = store.modify(everyone, id, (now) =>
        Effect.as(Effect.yieldNow(), { ...now, retryCount: now.retryCount + 1 }))
      yield* Effect.replicateEffect(grow, 12, { concurrency: 6 })
      assert.strictEqual(Option.getOrThrow(yield* store.find(everyone, id)).retryCount, 13)
    }))

  it.effect("makes the second change wait for the first, and lets it see what came of that", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const { id } = yield* Rows.makeWebhook(yield* Rows.makeClient("waits"), ["*"], { name: "first" })
      const store = yield* WebhookStore
      const [read, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const slow = yield* Effect.fork(store.modify(everyone, id, (now) =>
        Deferred.succeed(read, undefined).pipe(
          Effect.zipRight(Deferred.await(go)),
          Effect.as({ ...now, name: "second" })
        )))
      yield* Deferred.await(read)
      const late = yield* Effect.fork(
        store.modify(everyone, id, (now) => Effect.succeed({ ...now, description: `after ${now.name}` }))
      )
      yield* eventually(
        sql`SELECT FROM pg_locks WHERE NOT granted AND pid IN (
          SELECT pid FROM pg_stat_activity WHERE datname = current_database())`,
        (waiting) => waiting.length > 0
      )
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.join(slow)
      const { after, before } = Option.getOrThrow(yield* Fiber.join(late))
      assert.strictEqual(before.name, "second")
      assert.deepInclude(after, { name: "second", description: "after second" })
    }))

  it.effect("writes nothing when the change fails", () =>
    Effect.gen(function*() {
      const { id } = yield* Rows.makeWebhook(yield* Rows.makeClient("fails"), ["*"], { name: "as it was" })
      const store = yield* WebhookStore
      assert.strictEqual(yield* Effect.flip(store.modify(everyone, id, () => Effect.fail("no" as const))), "no")
      assert.strictEqual(Option.getOrThrow(yield* store.find(everyone, id)).name, "as it was")
    }))

  it.effect("follows a change of subscriptions with the very next event", () =>
    Effect.gen(function*() {
      const { id } = yield* Rows.makeWebhook(yield* Rows.makeClient("subscriptions"), ["deal.*", "lead.created"])
      assert.deepStrictEqual((yield* subscriptionsOf(id)).deliveries, [1, 1, 0])
      const store = yield* WebhookStore
      const events = ["deal.*", "x.y", "x.y"].map((event) => Subscription.make(event))
      yield* store.modify(everyone, id, (now) => Effect.succeed({ ...now, events }))
      assert.deepStrictEqual(yield* subscriptionsOf(id), { events, deliveries: [1, 0, 1] })
    }))

  it.effect("starts counting failures anew when a webhook is switched on", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const client = yield* Rows.makeClient("counts")
      const { id } = yield* Rows.makeWebhook(client, ["*"], { isActive: false, deactivationReason: "owner" })
      yield* sql`UPDATE webhooks SET failure_count = 7 WHERE client_id = ${client}`
      const store = yield* WebhookStore
      const renamed = yield* store.modify(everyone, id, (now) => Effect.succeed({ ...now, name: "n" }))
      assert.strictEqual(Option.getOrThrow(renamed).after.failureCount, 7)
      const on = { isActive: true, deactivationReason: null }
      const switched = yield* store.modify(everyone, id, (now) => Effect.succeed({ ...now, ...on }))
      assert.strictEqual(Option.getOrThrow(switched).after.failureCount, 0)
    }))

  it.effect("wipes the secrets of a removed webhook, which is then as if it had never been", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const client = yield* Rows.makeClient("removed")
      const { id } = yield* Rows.makeWebhook(client, ["*"], { headersSealed: new Uint8Array([1, 2]) })
      const store = yield* WebhookStore
      assert.isTrue(Option.isSome(yield* store.remove(only(client), id)))
      const rows = yield* sql`
        SELECT secret_sealed, headers_sealed, deleted_at IS NOT NULL AS deleted,
          (SELECT count(*)::int FROM subscriptions s WHERE s.webhook_id = webhooks.id) AS subscriptions
        FROM webhooks WHERE client_id = ${client}`
      assert.deepStrictEqual(rows, [{ secretSealed: null, headersSealed: null, deleted: true, subscriptions: 0 }])
      assert.isTrue(Option.isNone(yield* store.remove(everyone, id)))
      assert.isTrue(Option.isNone(yield* store.find(everyone, id)))
      assert.isTrue(Option.isNone(yield* store.modify(everyone, id, () => Effect.dieMessage("it was read"))))
      assert.deepStrictEqual((yield* store.list(only(client), any, whole)).data, [])
    }))
})
