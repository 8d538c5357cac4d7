/** Deliveries as a record: what was sent, what came back, and the wish to have it sent again. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Exchange } from "../domain/Attempt.ts"
import { Reach } from "../domain/Client.ts"
import { Attempt, Delivery, DeliveryStatus } from "../domain/Delivery.ts"
import { EventTypeName } from "../domain/EventType.ts"
import { ClientId, type DeliveryId, toUuid, type WebhookId } from "../domain/Ids.ts"
import * as Page from "../domain/Page.ts"
import { AttemptUuid, DeliveryUuid, EventUuid, Timestamp, WebhookUuid } from "./Columns.ts"
import { PersistenceError } from "./Postgres.ts"

const DeliveryRow = Schema.Struct({
  ...Delivery.fields,
  id: DeliveryUuid,
  webhookId: WebhookUuid,
  eventId: EventUuid,
  nextRetryAt: Schema.NullOr(Timestamp),
  createdAt: Timestamp,
  deliveredAt: Schema.NullOr(Timestamp)
})

const AttemptRow = Schema.Struct({
  ...Attempt.omit("exchange").fields,
  id: AttemptUuid,
  startedAt: Timestamp,
  durationMs: Schema.NullOr(Schema.Int),
  peerAddress: Schema.NullOr(Schema.String),
  responseCode: Schema.NullOr(Schema.Int),
  responseHeaders: Schema.NullOr(Exchange.fields.headers),
  responseBody: Schema.NullOr(Schema.Uint8ArrayFromSelf),
  responseTruncated: Schema.NullOr(Schema.Boolean),
  responseError: Schema.NullOr(Schema.String)
})

/** A delivery read alone: `body` is what was or will be sent. */
export interface DeliveryDetail extends Delivery {
  readonly body: string
  readonly attempts: ReadonlyArray<Attempt>
}

export interface DeliveryFilter {
  readonly status: DeliveryStatus | null
  readonly eventType: EventTypeName | null
  /** Created at this moment or later. */
  readonly from: DateTime.Utc | null
  /** Created before this moment. */
  readonly to: DateTime.Utc | null
}

/** What a wish to send again met: the delivery as it was, and whether it is due again now. */
const Requeued = Schema.Struct({
  ...DeliveryRow.pick("webhookId", "status", "attemptCount").fields,
  clientId: ClientId,
  requeued: Schema.Boolean
})
export type Requeued = typeof Requeued.Type

/** What is due and not under way waits for what its webhook is held for. */
const hold = `CASE WHEN d.next_retry_at <= now() AND d.lease_token IS NULL THEN webhook_hold(w) END AS hold`

const list = (sql: SqlClient.SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Struct({
      ...Reach.fields,
      webhook: WebhookUuid,
      status: Schema.NullOr(DeliveryStatus),
      eventType: Schema.NullOr(EventTypeName),
      from: Schema.NullOr(Timestamp),
      to: Schema.NullOr(Timestamp),
      after: Schema.NullOr(Schema.String),
      rows: Schema.Int
    }),
    Result: DeliveryRow,
    execute: ({ after, eventType, from, only, rows, status, to, webhook }) =>
      sql`
        SELECT d.*, ${sql.literal(hold)} FROM deliveries d
        JOIN webhooks w ON w.id = d.webhook_id AND w.client_id = d.client_id
        WHERE d.webhook_id = ${webhook} AND (${only}::text IS NULL OR d.client_id = ${only})
          AND (${status}::text IS NULL OR d.status = ${status})
          AND (${eventType}::text IS NULL OR d.event_type = ${eventType})
          AND (${from}::timestamptz IS NULL OR (d.id >= uuid_v7_floor(${from}::timestamptz) AND d.created_at >= ${from}))
          AND (${to}::timestamptz IS NULL OR d.created_at < ${to})
          AND (${after}::uuid IS NULL OR d.id < ${after})
        ORDER BY d.id DESC LIMIT ${rows}
      `
  })

const find = (sql: SqlClient.SqlClient) =>
  SqlSchema.findOne({
    Request: Schema.Struct({ ...Reach.fields, id: DeliveryUuid }),
    Result: Schema.Struct({ ...DeliveryRow.fields, body: Schema.String }),
    execute: ({ id, only }) =>
      sql`
        SELECT d.*, e.body, ${sql.literal(hold)} FROM deliveries d
        JOIN events e ON e.id = d.event_id AND e.client_id = d.client_id
        JOIN webhooks w ON w.id = d.webhook_id AND w.client_id = d.client_id
        WHERE d.id = ${id} AND (${only}::text IS NULL OR d.client_id = ${only})
      `
  })

const attempts = (sql: SqlClient.SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Struct({ ...Reach.fields, id: DeliveryUuid }),
    Result: AttemptRow,
    execute: ({ id, only }) =>
      sql`
        SELECT a.* FROM deliveries d JOIN attempts a ON a.delivery_id = d.id
        WHERE d.id = ${id} AND (${only}::text IS NULL OR d.client_id = ${only})
        ORDER BY a.number
      `
  })

const requeue = (sql: SqlClient.SqlClient) =>
  SqlSchema.findOne({
    Request: Schema.Struct({ ...Reach.fields, id: DeliveryUuid }),
    Result: Requeued,
    execute: ({ id, only }) =>
      sql`
        WITH wanted AS (
          SELECT id, webhook_id, lease_token, client_id, status, attempt_count FROM deliveries
          WHERE id = ${id} AND (${only}::text IS NULL OR client_id = ${only})
          FOR UPDATE
        ), requeued AS (
          UPDATE deliveries d SET
            status = 'pending', next_retry_at = now(), charged_count = 0, unknown_count = 0, delivered_at = NULL
          FROM wanted w WHERE d.id = w.id AND d.client_id = w.client_id AND w.lease_token IS NULL
          RETURNING d.id, d.webhook_id, d.client_id
        ), probed AS (
          -- Whoever asks for it by hand believes that the endpoint is back: its circuit may try now.
          UPDATE webhooks w SET circuit_until = now()
          FROM requeued r WHERE w.id = r.webhook_id AND w.client_id = r.client_id AND w.circuit = 'open'
        )
        SELECT webhook_id, client_id, status, attempt_count, EXISTS (SELECT FROM requeued) AS requeued FROM wanted
      `
  })

export class DeliveryHistory extends Context.Tag("deeper-hub-webhooks/persistence/DeliveryHistory")<DeliveryHistory, {
  readonly list: (
    reach: Reach,
    webhook: WebhookId,
    filter: DeliveryFilter,
    page: Page.PageRequest
  ) => Effect.Effect<Page.Page<Delivery>, PersistenceError>
  readonly find: (reach: Reach, id: DeliveryId) => Effect.Effect<Option.Option<DeliveryDetail>, PersistenceError>
  /**
   * Makes the delivery due now, with all its attempts before it again, unless an attempt is under way. None where there is
   * no such delivery.
   */
  readonly requeue: (reach: Reach, id: DeliveryId) => Effect.Effect<Option.Option<Requeued>, PersistenceError>
}>() {
  static readonly layer = Layer.effect(this, Effect.suspend(() => make))
}

const make = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const statements = {
    list: list(sql),
    find: find(sql),
    attempts: attempts(sql),
    requeue: requeue(sql)
  }
  return DeliveryHistory.of({
    list: (reach, webhook, filter, page) =>
      statements.list({ ...reach, webhook, ...filter, after: page.after, rows: page.limit + 1 }).pipe(
        Effect.map((rows) => Page.fromRows(rows, page, (delivery) => toUuid(delivery.id))),
        PersistenceError.refail("DeliveryHistory.list")
      ),
    find: (reach, id) =>
      statements.find({ ...reach, id }).pipe(
        Effect.flatMap(Option.match({
          onNone: () => Effect.succeedNone,
          onSome: (delivery) =>
            Effect.asSome(
              Effect.map(
                statements.attempts({ ...reach, id }),
                (rows) => ({ ...delivery, attempts: rows.map(attemptOf) })
              )
            )
        })),
        PersistenceError.refail("DeliveryHistory.find")
      ),
    requeue: (reach, id) =>
      statements.requeue({ ...reach, id }).pipe(PersistenceError.refail("DeliveryHistory.requeue"))
  })
})

const attemptOf = (row: typeof AttemptRow.Type): Attempt => {
  const { errorClass, errorMessage, id, number, result, startedAt } = row
  return { id, number, result, errorClass, errorMessage, startedAt, exchange: exchangeOf(row) }
}

const exchangeOf = (row: typeof AttemptRow.Type): Exchange | null =>
  row.durationMs === null ? null : {
    startedAt: row.startedAt.epochMillis,
    durationMs: row.durationMs,
    peerAddress: row.peerAddress,
    status: row.responseCode,
    headers: row.responseHeaders ?? {},
    body: row.responseBody ?? new Uint8Array(),
    bodyTruncated: row.responseTruncated ?? false,
    bodyError: row.responseError,
    certificateExpiresAt: null
  }
