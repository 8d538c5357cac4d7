/** Webhooks as their endpoints' conduct left them, for those who draw conclusions from it. */
import * as SqlClient from "@effect/sql/SqlClient"
import { Effect, Schema } from "effect"
import * as Ids from "../../src/domain/Ids.ts"
import type { Webhook } from "../../src/domain/Webhook.ts"
import * as Rows from "./Rows.ts"

/** Columns of webhooks and what is to stand in them, in SQL. */
export type Columns = Readonly<Record<string, string>>

/** A webhook of the client, so written. */
export const webhook = (client: Ids.ClientId, columns: Columns) =>
  Effect.tap(Rows.makeWebhook(client, ["deal.*"]), ({ id }) => conduct(id, columns))

/** From now on it is so. */
export const conduct = (id: Webhook["id"], columns: Columns) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const set = Object.entries(columns).map(([name, value]) => sql`${sql(name)} = ${sql.literal(value)}`)
    yield* sql`UPDATE webhooks SET ${sql.csv(set)} WHERE id = ${Ids.toUuid(id)}`
  })

/** So and so many attempts in a row failed, since so many minutes. */
export const failing = (failures: number, minutes: number, errorClass = "http_5xx"): Columns => ({
  failure_count: String(failures),
  failing_since: `now() - interval '${minutes} minutes'`,
  last_error_class: `'${errorClass}'`
})

/** Switched off for failures, and to be looked at now. */
export const switchedOff: Columns = {
  ...failing(20, 60),
  is_active: "false",
  deactivation_reason: "'failures'",
  deactivated_at: "now() - interval '30 minutes'",
  heal_at: "now()"
}

/** All columns of the webhook. */
export const row = (id: Webhook["id"]) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const [row] = yield* sql`SELECT * FROM webhooks WHERE id = ${Ids.toUuid(id)}`
    return row ?? (yield* Effect.dieMessage(`no webhook ${id}`))
  })

const decodeAlerts = Schema.decodeUnknown(Schema.Array(Schema.Struct({
  kind: Schema.String,
  severity: Schema.String,
  message: Schema.String,
  details: Schema.parseJson(),
  occurrences: Schema.Int,
  isOpen: Schema.Boolean
})))

/** Its alerts, the first one first. */
export const alerts = (id: Webhook["id"]) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    return yield* Effect.flatMap(
      sql`SELECT *, resolved_at IS NULL AS is_open FROM alerts WHERE webhook_id = ${Ids.toUuid(id)} ORDER BY id`,
      decodeAlerts
    )
  })

/** The kinds of those that are open. */
export const openAlerts = (id: Webhook["id"]) =>
  Effect.map(alerts(id), (all) => all.filter(({ isOpen }) => isOpen).map(({ kind }) => kind).sort())

const decodeNotices = Schema.decodeUnknown(Schema.Array(Schema.Struct({
  eventType: Schema.String,
  payload: Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown }))
})))

/** The notices about it that are on their way. */
export const notices = (id: Webhook["id"]) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    return yield* Effect.flatMap(
      sql`SELECT event_type, payload FROM outbox WHERE about = ${Ids.toUuid(id)} ORDER BY id`,
      decodeNotices
    )
  })
