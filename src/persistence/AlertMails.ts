/**
 * The mails that are owed: alerts of clients that have an address for them. A claim takes the alerts of one client and puts
 * them off, so that no other node mails them meanwhile, and one that ended leaves them to be mailed again.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Alert } from "../domain/Alert.ts"
import { EmailAddress } from "../domain/EmailAddress.ts"
import { ClientId } from "../domain/Ids.ts"
import type { AlertId } from "../domain/Ids.ts"
import { Webhook } from "../domain/Webhook.ts"
import { AlertUuid, Timestamp, WebhookUuid } from "./Columns.ts"
import { PersistenceError } from "./Postgres.ts"

/** An alert, with what its reader knows the webhook by. */
const OwedAlert = Schema.Struct({
  id: AlertUuid,
  ...Alert.pick("kind", "severity", "message", "occurrences").fields,
  raisedAt: Timestamp,
  resolvedAt: Schema.NullOr(Timestamp),
  webhookId: WebhookUuid,
  webhookName: Webhook.fields.name,
  webhookUrl: Webhook.fields.url
})
export type OwedAlert = typeof OwedAlert.Type

/** All of a client's that are due, the oldest first. */
const OwedRow = Schema.Struct({ clientId: ClientId, to: EmailAddress, ...OwedAlert.fields })
export type OwedRow = typeof OwedRow.Type

/** Alerts of one mail. */
const alertsMax = 50

/** Seconds for which a claim puts an alert off: longer than sending takes, and longer each time that it did not succeed. */
const pauseSeconds = { first: 60, most: 3_600 }

/** Past this nobody is mailed any more: it is no news. */
const newsDays = 3

/** Rows of one statement. */
const sweepMax = 500

const claim = (sql: SqlClient.SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Void,
    Result: OwedRow,
    execute: () =>
      sql`
        WITH first AS (
          SELECT a.client_id FROM alerts a JOIN clients c ON c.id = a.client_id AND c.alert_email IS NOT NULL
          WHERE a.mailed_at IS NULL AND a.acknowledged_at IS NULL AND a.mail_due_at <= now()
          ORDER BY a.mail_due_at LIMIT 1
          FOR UPDATE OF a SKIP LOCKED
        ), due AS (
          SELECT a.id FROM alerts a
          WHERE a.client_id = (SELECT client_id FROM first)
            AND a.mailed_at IS NULL AND a.acknowledged_at IS NULL AND a.mail_due_at <= now()
          ORDER BY a.id LIMIT ${alertsMax}
          FOR UPDATE SKIP LOCKED
        ), claimed AS (
          UPDATE alerts a SET
            mail_due_at = now() + least(${pauseSeconds.most}, ${pauseSeconds.first} * 2.0 ^ least(a.mail_attempts, 20))
              * interval '1 second',
            mail_attempts = a.mail_attempts + 1
          FROM due d WHERE a.id = d.id
          RETURNING a.*
        )
        SELECT a.client_id, c.alert_email AS to, a.id, a.kind, a.severity, a.message, a.occurrences, a.raised_at,
          a.resolved_at, a.webhook_id, w.name AS webhook_name, w.url AS webhook_url
        FROM claimed a
        JOIN clients c ON c.id = a.client_id
        JOIN webhooks w ON w.id = a.webhook_id
        ORDER BY a.id
      `
  })

/** Nobody is to be told: there is no address, somebody has seen it already, or it is no news. */
const skip = (sql: SqlClient.SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Void,
    Result: Schema.Struct({ givenUp: Schema.Boolean }),
    execute: () =>
      sql`
        UPDATE alerts a SET mailed_at = now()
        FROM (
          SELECT a.id, c.alert_email IS NOT NULL AND a.acknowledged_at IS NULL AND a.mail_attempts > 0 AS given_up
          FROM alerts a JOIN clients c ON c.id = a.client_id
          WHERE a.mailed_at IS NULL AND (
            c.alert_email IS NULL OR a.acknowledged_at IS NOT NULL
            OR a.raised_at < now() - make_interval(days => ${newsDays}))
          LIMIT ${sweepMax}
          FOR UPDATE OF a SKIP LOCKED
        ) s
        WHERE a.id = s.id
        RETURNING s.given_up
      `
  })

const sent = (sql: SqlClient.SqlClient) =>
  SqlSchema.void({
    Request: Schema.Array(AlertUuid),
    execute: (ids) => sql`UPDATE alerts SET mailed_at = now() WHERE id = ANY(${ids}::uuid[])`
  })

export class AlertMails extends Context.Tag("deeper-hub-webhooks/persistence/AlertMails")<AlertMails, {
  /** Alerts of one client that are to be mailed now, which nobody else gets for a while. None: there are none. */
  readonly claim: Effect.Effect<ReadonlyArray<OwedRow>, PersistenceError>
  /** The mail about these went out. */
  readonly sent: (ids: ReadonlyArray<AlertId>) => Effect.Effect<void, PersistenceError>
  /** Takes those off the list of which nobody is to be told; answers how many somebody was, and it did not succeed. */
  readonly skip: Effect.Effect<number, PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.map(SqlClient.SqlClient, (sql) => {
      const statements = { claim: claim(sql), skip: skip(sql), sent: sent(sql) }
      const skipAll: typeof AlertMails.Service["skip"] = statements.skip(undefined).pipe(
        PersistenceError.refail("AlertMails.skip"),
        Effect.flatMap((rows) => {
          const givenUp = rows.filter((row) => row.givenUp).length
          return rows.length < sweepMax
            ? Effect.succeed(givenUp)
            : Effect.map(skipAll, (more) => givenUp + more)
        })
      )
      return AlertMails.of({
        claim: statements.claim(undefined).pipe(PersistenceError.refail("AlertMails.claim")),
        sent: (ids) => statements.sent(ids).pipe(PersistenceError.refail("AlertMails.sent")),
        skip: skipAll
      })
    })
  )
}
