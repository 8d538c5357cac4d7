/** The database's clock is put back: what waits until a moment waits as long as it would have. */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Schema } from "effect"
import type { ClientId } from "../../src/domain/Ids.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import { HealthStore } from "../../src/persistence/HealthStore.ts"
import { Outbox } from "../../src/persistence/Outbox.ts"
import * as Conduct from "../support/Conduct.ts"
import * as Rows from "../support/Rows.ts"
import * as Stores from "../support/Stores.ts"

/** An hour later by every row is an hour earlier by the clock. */
const putBack = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`UPDATE database_clock SET seen = clock_timestamp() + interval '1 hour'`
  const { putBackSeconds } = yield* Effect.flatMap(DeliveryStore, (store) => store.followClock)
  assert.closeTo(putBackSeconds, 3_600, 60)
})

/** Minutes from now, to the next whole one. */
const minutesUntil = (moment: unknown) =>
  Effect.map(DateTime.now, (now) => {
    assert.instanceOf(moment, Date)
    // Never the zero with a sign.
    return Math.round((moment.getTime() - DateTime.toEpochMillis(now)) / 60_000) + 0
  })

const decodeDue = Schema.decodeUnknown(Schema.Array(Schema.Struct({ type: Schema.String, dueAt: Schema.DateFromSelf })))

const outboxOf = (client: ClientId) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.flatMap(
      sql`SELECT event_type AS type, due_at FROM outbox WHERE client_id = ${client} ORDER BY event_type`,
      decodeDue
    ))

layer(Stores.layer, Stores.options)("A clock that is put back", (it) => {
  it.effect("I73 moves health checks with it, and what they are due by", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("checks")
      const ahead = yield* Conduct.webhook(client, {
        created_at: "now() - interval '1 day'",
        check_at: "now() + interval '70 minutes'",
        last_check_at: "now() + interval '55 minutes'",
        last_successful_delivery_at: "now() + interval '50 minutes'",
        last_failure_at: "now() + interval '40 minutes'"
      })
      const due = yield* Conduct.webhook(client, {
        created_at: "now() - interval '1 day'",
        check_at: "now() - interval '1 minute'"
      })
      yield* putBack
      const { checkAt, lastCheckAt, lastFailureAt, lastSuccessfulDeliveryAt } = yield* Conduct.row(ahead.id)
      assert.strictEqual(yield* minutesUntil(checkAt), 10)
      for (const at of [lastCheckAt, lastFailureAt, lastSuccessfulDeliveryAt]) {
        assert.strictEqual(yield* minutesUntil(at), 0)
      }
      assert.strictEqual(yield* minutesUntil((yield* Conduct.row(due.id))["checkAt"]), -1, "what is due stays due")
      const { targets } = yield* Effect.flatMap(
        HealthStore,
        (store) => store.takeDue({ intervalMs: 900_000, most: 10 })
      )
      assert.deepStrictEqual(targets.map(({ id }) => id), [due.id])
    }))

  it.effect("I73 moves the outbox and mail about alerts with it", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("outgoing")
      yield* Rows.makeWebhook(client, ["*"])
      const sql = yield* SqlClient.SqlClient
      yield* sql`
        INSERT INTO outbox (client_id, event_type, payload, due_at, refusal) VALUES
          (${client}, 'deal.new', '{}', now() + interval '1 hour', NULL),
          (${client}, 'deal.refused', '{}', now() + interval '1 hour', 'no event'),
          (${client}, 'deal.tried', '{}', now() + interval '61 minutes', NULL)`
      const alert = (kind: string) =>
        sql`
        INSERT INTO alerts (client_id, webhook_id, kind, severity, message, mail_due_at, mailed_at)
        SELECT ${client}, webhooks.id, ${kind}, 'info', '', now() + interval '1 hour',
          CASE WHEN ${kind} = 'high_latency' THEN now() END
        FROM webhooks WHERE client_id = ${client}`
      yield* Effect.forEach(["high_latency", "certificate_error"], alert)
      yield* putBack
      const dues = yield* Effect.forEach(
        yield* outboxOf(client),
        ({ dueAt, type }) => Effect.map(minutesUntil(dueAt), (minutes) => [type, minutes])
      )
      assert.deepStrictEqual(dues, [["deal.new", 0], ["deal.refused", 60], ["deal.tried", 1]])
      const claimed = yield* Effect.flatMap(Outbox, (outbox) => outbox.claim)
      assert.deepStrictEqual(claimed.map(({ eventType }) => eventType), ["deal.new"])
      const mails = yield* sql`SELECT kind, mail_due_at FROM alerts WHERE client_id = ${client} ORDER BY kind`
      assert.deepStrictEqual(
        yield* Effect.forEach(mails, ({ mailDueAt }) => minutesUntil(mailDueAt)),
        [0, 60],
        "the one that was sent waits for nothing"
      )
    }))
})
