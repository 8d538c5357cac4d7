/** Alerts: raised and resolved by those who watch over webhooks, read and acknowledged by those who own them. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Alert, AlertKind, AlertState, momentaryKinds } from "../domain/Alert.ts"
import { Reach } from "../domain/Client.ts"
import { type AlertId, type KeyId, toUuid, type WebhookId } from "../domain/Ids.ts"
import { JsonObject } from "../domain/Json.ts"
import * as Page from "../domain/Page.ts"
import { AlertUuid, JsonFromText, KeyUuid, Timestamp, WebhookUuid } from "./Columns.ts"
import { PersistenceError } from "./Postgres.ts"

/** Facts of an alert: numbers, names and sentences, nothing that is a secret. */
export type AlertDetails = Readonly<Record<string, boolean | number | string | null>>

export interface NewAlert extends Pick<Alert, "clientId" | "webhookId" | "kind" | "severity" | "message"> {
  readonly details: AlertDetails
}

export interface AlertFilter {
  readonly webhookId: WebhookId | null
  readonly kind: AlertKind | null
  readonly state: AlertState | null
}

/** An alert, and whether it was this acknowledgement that counted. */
export interface Acknowledged {
  readonly alert: Alert
  readonly acknowledgedNow: boolean
}

const AlertRow = Schema.Struct({
  ...Alert.fields,
  id: AlertUuid,
  webhookId: WebhookUuid,
  details: Schema.compose(JsonFromText, Schema.typeSchema(JsonObject), { strict: false }),
  raisedAt: Timestamp,
  lastRaisedAt: Timestamp,
  acknowledgedAt: Schema.NullOr(Timestamp),
  resolvedAt: Schema.NullOr(Timestamp)
})

const raise = (sql: SqlClient.SqlClient) =>
  SqlSchema.single({
    Request: Schema.Struct({
      ...AlertRow.pick("clientId", "webhookId", "kind", "severity", "message").fields,
      details: Schema.String
    }),
    Result: Schema.Struct({ id: AlertUuid }),
    execute: ({ clientId, details, kind, message, severity, webhookId }) =>
      sql`SELECT raise_alert(${clientId}, ${webhookId}, ${kind}, ${severity}, ${message}, ${details}::jsonb) AS id`
  })

const resolve = (sql: SqlClient.SqlClient) =>
  SqlSchema.void({
    Request: Schema.Struct({ webhookId: WebhookUuid, kinds: Schema.Array(AlertKind) }),
    execute: ({ kinds, webhookId }) => sql`SELECT resolve_alerts(${webhookId}, ${kinds}::text[])`
  })

const list = (sql: SqlClient.SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Struct({
      ...Reach.fields,
      webhookId: Schema.NullOr(WebhookUuid),
      kind: Schema.NullOr(AlertKind),
      state: Schema.NullOr(AlertState),
      after: Schema.NullOr(Schema.String),
      rows: Schema.Int
    }),
    Result: AlertRow,
    execute: ({ after, kind, only, rows, state, webhookId }) =>
      sql`
        SELECT * FROM alerts
        WHERE (${only}::text IS NULL OR client_id = ${only})
          AND (${webhookId}::uuid IS NULL OR webhook_id = ${webhookId})
          AND (${kind}::text IS NULL OR kind = ${kind})
          AND (${state}::text IS NULL OR (resolved_at IS NULL) = (${state} = 'open'))
          AND (${after}::uuid IS NULL OR id < ${after})
        ORDER BY id DESC LIMIT ${rows}
      `
  })

/** The first acknowledgement counts; a later one changes nothing. */
const acknowledge = (sql: SqlClient.SqlClient) =>
  SqlSchema.findOne({
    Request: Schema.Struct({ ...Reach.fields, id: AlertUuid, keyId: Schema.NullOr(KeyUuid) }),
    Result: Schema.Struct({ ...AlertRow.fields, acknowledgedNow: Schema.Boolean }),
    execute: ({ id, keyId, only }) =>
      sql`
        UPDATE alerts SET
          acknowledged_at = coalesce(acknowledged_at, now()),
          acknowledged_by = CASE WHEN acknowledged_at IS NULL THEN ${keyId}::uuid ELSE acknowledged_by END,
          resolved_at = CASE WHEN kind = ANY(${momentaryKinds}::text[]) THEN coalesce(resolved_at, now()) ELSE resolved_at END
        WHERE id = ${id} AND (${only}::text IS NULL OR client_id = ${only})
        RETURNING *, acknowledged_at = now() AS acknowledged_now
      `
  })

export class AlertStore extends Context.Tag("deeper-hub-webhooks/persistence/AlertStore")<AlertStore, {
  /**
   * Raises an alert, or counts it once more where one of its kind is open for the webhook. Its own statement, or part of
   * the transaction that it is run in.
   */
  readonly raise: (alert: NewAlert) => Effect.Effect<AlertId, PersistenceError>
  /** Ends the webhook's open alerts of these kinds: what they were about is over. */
  readonly resolve: (webhookId: WebhookId, kinds: ReadonlyArray<AlertKind>) => Effect.Effect<void, PersistenceError>
  readonly list: (
    reach: Reach,
    filter: AlertFilter,
    page: Page.PageRequest
  ) => Effect.Effect<Page.Page<Alert>, PersistenceError>
  /** Notes who has seen it, and resolves what tells of a moment only. None where there is no such alert. */
  readonly acknowledge: (
    reach: Reach,
    id: AlertId,
    keyId: KeyId | null
  ) => Effect.Effect<Option.Option<Acknowledged>, PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const statements = { raise: raise(sql), resolve: resolve(sql), list: list(sql), acknowledge: acknowledge(sql) }
      return AlertStore.of({
        raise: ({ details, message, ...alert }) =>
          statements.raise({ ...alert, message: kept(message), details: textOf(details) }).pipe(
            Effect.map(({ id }) => id),
            Effect.catchTag("NoSuchElementException", Effect.die),
            PersistenceError.refail("AlertStore.raise")
          ),
        resolve: (webhookId, kinds) =>
          statements.resolve({ webhookId, kinds }).pipe(PersistenceError.refail("AlertStore.resolve")),
        list: (reach, filter, page) =>
          statements.list({ ...reach, ...filter, after: page.after, rows: page.limit + 1 }).pipe(
            Effect.map((rows) => Page.fromRows(rows, page, (alert) => toUuid(alert.id))),
            PersistenceError.refail("AlertStore.list")
          ),
        acknowledge: (reach, id, keyId) =>
          statements.acknowledge({ ...reach, id, keyId }).pipe(
            Effect.map(Option.map(({ acknowledgedNow, ...alert }) => ({ alert, acknowledgedNow }))),
            PersistenceError.refail("AlertStore.acknowledge")
          )
      })
    })
  )
}

/** What an endpoint said may be in it: Postgres takes no U+0000 and no half of a surrogate pair. */
const kept = (text: string): string => text.replace(/[\u0000\ud800-\udfff]/gu, "\ufffd")

const textOf = (details: AlertDetails): string =>
  JSON.stringify(details, (_, value: unknown) => typeof value === "string" ? kept(value) : value)
