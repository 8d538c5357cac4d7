import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Option } from "effect"
import { randomUUID } from "node:crypto"
import type { Alert } from "../../src/domain/Alert.ts"
import * as Ids from "../../src/domain/Ids.ts"
import { AlertStore, type NewAlert } from "../../src/persistence/AlertStore.ts"
import * as Rows from "../support/Rows.ts"
import * as Stores from "../support/Stores.ts"

const only = (client: Ids.ClientId) => ({ only: client })
const whole = { limit: 100, after: null }
const any = { webhookId: null, kind: null, state: null }

const makeTenant = (name: string) =>
  Effect.gen(function*() {
    const client = yield* Rows.makeClient(name)
    const webhook = yield* Rows.makeWebhook(client, ["deal.*"])
    return { client, webhook }
  })

const latency = (clientId: Ids.ClientId, webhookId: Ids.WebhookId, change?: Partial<NewAlert>): NewAlert => ({
  clientId,
  webhookId,
  kind: "high_latency",
  severity: "warning",
  message: "It takes long to answer.",
  details: { average_ms: 1_500.5, attempts: 20, since: null },
  ...change
})

const listed = (client: Ids.ClientId, filter: Partial<typeof any> = {}) =>
  Effect.flatMap(
    AlertStore,
    (store) => Effect.map(store.list(only(client), { ...any, ...filter }, whole), ({ data }) => data)
  )

const kindsOf = (alerts: ReadonlyArray<Alert>) => alerts.map(({ kind }) => kind)

const notices = (client: Ids.ClientId) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) =>
      sql<{ eventType: string; payload: string; about: string; isNotice: boolean }>`
      SELECT event_type, payload, about, is_notice FROM outbox WHERE client_id = ${client} ORDER BY id`
  )

/** Ids made before are older than those made after: within a millisecond of the database's they are in no order. */
const millisecondOver = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const now = sql<{ readonly now: string }>`SELECT left(uuid_v7()::text, 13) AS now`
  const [before] = yield* now
  yield* Effect.repeat(now, { until: ([after]) => after?.now !== before?.now })
})

layer(Stores.layer, Stores.options)("AlertStore", (it) => {
  it.effect("keeps everything that is said of an alert", () =>
    Effect.gen(function*() {
      const { client, webhook } = yield* makeTenant("kept")
      const store = yield* AlertStore
      const id = yield* store.raise(latency(client, webhook.id, {
        message: "It said \u0000 and \ud800.",
        details: { error: "a\u0000b \\u0000 💥", average_ms: 1_500.5, alive: true, since: null }
      }))
      const [alert, ...others] = yield* listed(client)
      assert.isEmpty(others)
      assert(alert)
      const { details, lastRaisedAt, raisedAt, ...rest } = alert
      assert.deepStrictEqual(rest, {
        id,
        clientId: client,
        webhookId: webhook.id,
        kind: "high_latency",
        severity: "warning",
        message: "It said \ufffd and \ufffd.",
        occurrences: 1,
        acknowledgedAt: null,
        resolvedAt: null
      })
      assert.deepStrictEqual({ ...details }, {
        error: "a\ufffdb \\u0000 💥",
        average_ms: 1_500.5,
        alive: true,
        since: null
      })
      assert.isTrue(DateTime.Equivalence(raisedAt, lastRaisedAt))
    }))

  it.effect("one that goes on is counted, with what is known of it last; over, the next is a new one", () =>
    Effect.gen(function*() {
      const { client, webhook } = yield* makeTenant("counted")
      const store = yield* AlertStore
      const first = yield* store.raise(latency(client, webhook.id))
      const again = yield* store.raise(
        latency(client, webhook.id, { severity: "critical", message: "Longer.", details: { n: 2 } })
      )
      assert.strictEqual(again, first)
      const [counted] = yield* listed(client)
      assert(counted)
      assert.deepInclude(counted, { occurrences: 2, severity: "critical", message: "Longer." })
      assert.isTrue(DateTime.lessThan(counted.raisedAt, counted.lastRaisedAt))

      yield* store.resolve(webhook.id, ["certificate_error"])
      assert.isNull((yield* listed(client))[0]?.resolvedAt, "another kind's end is not its end")
      yield* store.resolve(webhook.id, ["high_latency", "certificate_error"])
      assert.isNotNull((yield* listed(client))[0]?.resolvedAt)
      const next = yield* store.raise(latency(client, webhook.id))
      assert.notStrictEqual(next, first)
      assert.deepStrictEqual((yield* listed(client)).map(({ id, occurrences }) => [id, occurrences]), [
        [next, 1],
        [first, 2]
      ])
    }))

  it.effect("raised at once by many, it is one", () =>
    Effect.gen(function*() {
      const { client, webhook } = yield* makeTenant("at-once")
      const store = yield* AlertStore
      yield* Effect.replicateEffect(store.raise(latency(client, webhook.id)), 5, { concurrency: 5, discard: true })
      assert.deepStrictEqual((yield* listed(client)).map(({ occurrences }) => occurrences), [5])
    }))

  it.effect("those who subscribe are told once, when it opens", () =>
    Effect.gen(function*() {
      const { client, webhook } = yield* makeTenant("told")
      const store = yield* AlertStore
      yield* Rows.makeWebhook(client, ["*"])
      yield* store.raise(latency(client, webhook.id, { kind: "certificate_error" }))
      assert.isEmpty(yield* notices(client), "nobody asked to be told")
      yield* Rows.makeWebhook(client, ["alert.*"])
      const id = yield* store.raise(latency(client, webhook.id))
      yield* store.raise(latency(client, webhook.id))
      const [notice, ...others] = yield* notices(client)
      assert.isEmpty(others)
      assert(notice)
      const { payload, ...rest } = notice
      assert.deepStrictEqual(rest, { eventType: "alert.raised", about: Ids.toUuid(webhook.id), isNotice: true })
      assert.deepStrictEqual(JSON.parse(payload), {
        alert_id: id,
        webhook_id: webhook.id,
        kind: "high_latency",
        severity: "warning",
        message: "It takes long to answer.",
        details: { average_ms: 1_500.5, attempts: 20, since: null }
      })
    }))

  it.effect("is part of the transaction that it is raised in", () =>
    Effect.gen(function*() {
      const { client, webhook } = yield* makeTenant("undone")
      const sql = yield* SqlClient.SqlClient
      const store = yield* AlertStore
      yield* Effect.flip(sql.withTransaction(
        Effect.zipRight(store.raise(latency(client, webhook.id)), Effect.fail("undone"))
      ))
      assert.isEmpty(yield* listed(client))
    }))

  it.effect("lists newest first, by webhook, kind and state, page by page", () =>
    Effect.gen(function*() {
      const { client, webhook } = yield* makeTenant("listed")
      const other = yield* Rows.makeWebhook(client, ["lead.*"])
      const store = yield* AlertStore
      for (const kind of ["high_latency", "certificate_error", "secret_expiring"] as const) {
        yield* store.raise(latency(client, webhook.id, { kind }))
        yield* millisecondOver
      }
      yield* store.raise(latency(client, other.id))
      yield* store.resolve(webhook.id, ["certificate_error"])
      const all = yield* listed(client)
      assert.deepStrictEqual(kindsOf(all), ["high_latency", "secret_expiring", "certificate_error", "high_latency"])
      assert.lengthOf(yield* listed(client, { webhookId: other.id as never }), 1)
      assert.lengthOf(yield* listed(client, { kind: "high_latency" as never }), 2)
      assert.deepStrictEqual(kindsOf(yield* listed(client, { state: "resolved" as never })), ["certificate_error"])
      assert.lengthOf(yield* listed(client, { state: "open" as never }), 3)
      const first = yield* store.list(only(client), any, { limit: 3, after: null })
      const second = yield* store.list(only(client), any, { limit: 3, after: first.next })
      assert.deepStrictEqual([...first.data, ...second.data], all)
      assert.isNull(second.next)
    }))

  it.effect("the first acknowledgement counts, and ends what tells of a moment only", () =>
    Effect.gen(function*() {
      const { client, webhook } = yield* makeTenant("seen")
      const sql = yield* SqlClient.SqlClient
      const store = yield* AlertStore
      const [one, two] = [yield* Ids.make("KeyId"), yield* Ids.make("KeyId")]
      const goesOn = yield* store.raise(latency(client, webhook.id))
      const moments = [
        yield* store.raise(latency(client, webhook.id, { kind: "delivery_quarantined" })),
        yield* store.raise(latency(client, webhook.id, { kind: "webhook_reactivated" }))
      ]
      const first = Option.getOrThrow(yield* store.acknowledge(only(client), goesOn, one))
      assert.isTrue(first.acknowledgedNow)
      assert.isNotNull(first.alert.acknowledgedAt)
      assert.isNull(first.alert.resolvedAt)
      const second = Option.getOrThrow(yield* store.acknowledge(Stores.everyone, goesOn, two))
      assert.deepStrictEqual(second, { acknowledgedNow: false, alert: first.alert })
      assert.deepStrictEqual(
        yield* sql`SELECT acknowledged_by AS by FROM alerts WHERE id = ${Ids.toUuid(goesOn)}`,
        [{ by: Ids.toUuid(one) }]
      )
      for (const id of moments) {
        const { alert } = Option.getOrThrow(yield* store.acknowledge(only(client), id, null))
        assert.deepStrictEqual(alert.resolvedAt, alert.acknowledgedAt)
      }
    }))

  it.effect("shows another client's alert to nobody, and lets nobody acknowledge it", () =>
    Effect.gen(function*() {
      const { client, webhook } = yield* makeTenant("mine")
      const stranger = yield* Rows.makeClient("stranger")
      const store = yield* AlertStore
      const id = yield* store.raise(latency(client, webhook.id))
      assert.isEmpty(yield* listed(stranger, { webhookId: webhook.id as never }))
      assert.isTrue(Option.isNone(yield* store.acknowledge(only(stranger), id, null)))
      const unknown = Ids.fromUuid("AlertId", randomUUID())
      assert.isTrue(Option.isNone(yield* store.acknowledge(Stores.everyone, unknown, null)))
      assert.isNull((yield* listed(client))[0]?.acknowledgedAt)
    }))
})
