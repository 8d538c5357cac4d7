/**
 * Publishing is one statement, so event, deliveries and idempotency record commit or fail as one. Deliveries that this
 * node has room for are leased to it in the same statement and answered with all that it takes to send them, so that no
 * claim stands between a commit and its delivery.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { Event, type Published } from "../domain/Event.ts"
import { noticePatternsOf, subscriptionsTo } from "../domain/EventType.ts"
import { ClientId, type EventId, type WebhookId } from "../domain/Ids.ts"
import { Webhook } from "../domain/Webhook.ts"
import type { ClaimedDelivery } from "./Claim.ts"
import { DeliveryUuid, EventUuid, Timestamp, WebhookUuid } from "./Columns.ts"

/** An event as it is to be stored: `body` is the canonical JSON of its envelope. */
const StorableEvent = Schema.Struct({
  id: EventUuid,
  ...Event.pick("eventType").fields,
  occurredAt: Timestamp,
  body: Schema.String
})
export type StorableEvent = typeof StorableEvent.Type

/** What of the deliveries to come this node may send at once, without claiming them. */
const LeaseOffer = Schema.Struct({
  token: Schema.UUID,
  seconds: Schema.Int,
  /** Deliveries in all, and of each webhook. */
  most: Schema.Int,
  mostPerWebhook: Schema.Int,
  /** These have as many in hand as they may. */
  except: Schema.Array(WebhookUuid)
})
export type LeaseOffer = typeof LeaseOffer.Type

/** What one publisher asked for at once: all of it is stored, or nothing. */
const PublishRequest = Schema.Struct({
  clientId: ClientId,
  events: Schema.NonEmptyArray(StorableEvent),
  idempotency: Schema.NullOr(Schema.Struct({ key: Schema.String, requestHash: Schema.Uint8ArrayFromSelf })),
  /** Deliver to this webhook alone, whatever it subscribes to. */
  target: Schema.NullOr(WebhookUuid),
  /** Of a notice of the service's own: the webhook that it tells of, which is not told. Null of a platform's event. */
  notice: Schema.NullOr(Schema.Struct({ about: Schema.NullOr(WebhookUuid) })),
  lease: Schema.NullOr(LeaseOffer)
})
export type PublishRequest = typeof PublishRequest.Type

/** What was stored, or where the idempotency key was used before, what had been. */
export interface Stored {
  /** In the order in which the events were handed over. */
  readonly published: ReadonlyArray<Published>
  /** What is leased to this node. */
  readonly leased: ReadonlyArray<ClaimedDelivery>
  /** Webhooks with a delivery that nobody is at work on yet. */
  readonly waiting: ReadonlyArray<WebhookId>
  /** Webhooks whose new delivery waits for an open circuit. */
  readonly circuitOpen: ReadonlyArray<WebhookId>
}

/** The idempotency key was used before, for another request. */
export class IdempotencyConflict extends Data.TaggedError("IdempotencyConflict")<{ readonly key: string }> {}

const PublishedRow = Schema.Struct({
  eventId: EventUuid,
  deliveryId: Schema.NullOr(DeliveryUuid),
  webhookId: Schema.NullOr(WebhookUuid)
})

const Sealed = Schema.NullOr(Schema.Uint8ArrayFromSelf)

/** From `url` on null where the delivery is not leased. */
const InsertedRow = Schema.Struct({
  ...PublishedRow.fields,
  leaseToken: Schema.NullOr(Schema.UUID),
  hold: Schema.NullOr(Schema.String),
  url: Schema.NullOr(Webhook.fields.url),
  signatures: Schema.NullOr(Webhook.fields.signatures),
  retryCount: Schema.NullOr(Schema.Int),
  timeoutMs: Schema.NullOr(Schema.Int),
  secretSealed: Sealed,
  previousSecretSealed: Sealed,
  headersSealed: Sealed
})
type InsertedRow = typeof InsertedRow.Type

const insert = (sql: SqlClient, ttlSeconds: number) =>
  SqlSchema.findAll({
    Request: PublishRequest,
    Result: InsertedRow,
    execute: ({ clientId, events, idempotency, lease, notice, target }) => {
      const patterns = patternsOf(events.map((event) => event.eventType), notice !== null)
      return sql`
        WITH event AS (
          SELECT * FROM unnest(
            ${events.map((event) => event.id)}::uuid[], ${events.map((event) => event.eventType)}::text[],
            ${events.map((event) => event.body)}::text[], ${events.map((event) => event.occurredAt)}::timestamptz[]
          ) AS t (id, event_type, body, occurred_at)
        ), keyed AS (
          INSERT INTO idempotency_keys AS known (client_id, key, request_hash, event_ids, expires_at)
          SELECT ${clientId}, ${idempotency?.key ?? null}, ${idempotency?.requestHash ?? null},
            (SELECT array_agg(id) FROM event), now() + make_interval(secs => ${ttlSeconds})
          WHERE ${idempotency !== null}
          ON CONFLICT (client_id, key) DO UPDATE SET
            request_hash = excluded.request_hash, event_ids = excluded.event_ids,
            created_at = now(), expires_at = excluded.expires_at
          WHERE known.expires_at <= now()
          RETURNING key
        ), accepted AS (
          SELECT * FROM event WHERE ${idempotency === null} OR EXISTS (SELECT FROM keyed)
        ), stored AS (
          INSERT INTO events (id, client_id, event_type, body, occurred_at)
          SELECT id, ${clientId}, event_type, body, occurred_at FROM accepted
        ), matched AS (
          SELECT DISTINCT a.id AS event_id, a.event_type, s.webhook_id
          FROM accepted a
          JOIN unnest(${patterns.map(([type]) => type)}::text[], ${patterns.map(([, pattern]) => pattern)}::text[])
            AS p (event_type, pattern) USING (event_type)
          JOIN subscriptions s ON s.client_id = ${clientId} AND s.pattern = p.pattern
          WHERE ${target}::uuid IS NULL AND s.webhook_id IS DISTINCT FROM ${notice?.about ?? null}::uuid
          UNION ALL
          SELECT id, event_type, ${target}::uuid FROM accepted WHERE ${target}::uuid IS NOT NULL
        ), wanted AS (
          SELECT m.event_id, m.event_type, w.id AS webhook_id, webhook_hold(w) AS hold,
            ${lease !== null} AND webhook_hold(w) IS NULL AND w.circuit = 'closed' AND w.circuit_ramp IS NULL
              AND w.id <> ALL(${lease?.except ?? []}::uuid[]) AS is_free,
            row_number() OVER (PARTITION BY w.id ORDER BY m.event_id) AS nth
          FROM matched m JOIN webhooks w ON w.id = m.webhook_id
          WHERE w.client_id = ${clientId} AND w.deleted_at IS NULL AND w.deactivation_reason IS DISTINCT FROM 'owner'
        ), placed AS (
          SELECT *, is_free AND nth <= ${lease?.mostPerWebhook ?? 0}
            AND row_number() OVER (PARTITION BY is_free ORDER BY nth) <= ${lease?.most ?? 0} AS is_leased
          FROM wanted
        ), delivery AS (
          INSERT INTO deliveries (id, webhook_id, client_id, event_id, event_type, lease_token, leased_until)
          SELECT uuid_v7(), webhook_id, ${clientId}, event_id, event_type,
            CASE WHEN is_leased THEN ${lease?.token ?? null}::uuid END,
            CASE WHEN is_leased THEN now() + make_interval(secs => ${lease?.seconds ?? 0}) END
          FROM placed
          RETURNING id, event_id, webhook_id, lease_token
        )
        SELECT a.id AS event_id, d.id AS delivery_id, d.webhook_id, d.lease_token, p.hold,
          w.url, w.signatures, w.retry_count, w.timeout_ms, w.secret_sealed, w.headers_sealed,
          CASE WHEN w.previous_secret_expires_at > now() THEN w.previous_secret_sealed END AS previous_secret_sealed
        FROM accepted a
        LEFT JOIN delivery d ON d.event_id = a.id
        LEFT JOIN placed p ON p.event_id = d.event_id AND p.webhook_id = d.webhook_id
        LEFT JOIN webhooks w ON w.id = d.webhook_id AND w.client_id = ${clientId} AND d.lease_token IS NOT NULL
        ORDER BY d.id
      `
    }
  })

const known = (sql: SqlClient) =>
  SqlSchema.findOne({
    Request: Schema.Struct({ clientId: ClientId, key: Schema.String }),
    Result: Schema.Struct({ requestHash: Schema.Uint8ArrayFromSelf, eventIds: Schema.Array(EventUuid) }),
    execute: ({ clientId, key }) =>
      sql`SELECT request_hash, event_ids FROM idempotency_keys WHERE client_id = ${clientId} AND key = ${key}`
  })

const deliveriesOf = (sql: SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Struct({ clientId: ClientId, ids: Schema.Array(EventUuid) }),
    Result: PublishedRow,
    execute: ({ clientId, ids }) =>
      sql`
        SELECT e.id AS event_id, d.id AS delivery_id, d.webhook_id
        FROM unnest(${ids}::uuid[]) AS e (id)
        LEFT JOIN deliveries d ON d.event_id = e.id AND d.client_id = ${clientId}
        ORDER BY d.id
      `
  })

export const make = (sql: SqlClient, ttlSeconds: number) => {
  const statements = { insert: insert(sql, ttlSeconds), known: known(sql), deliveriesOf: deliveriesOf(sql) }

  const replay = (request: PublishRequest, { key, requestHash }: NonNullable<PublishRequest["idempotency"]>) =>
    Effect.flatMap(
      statements.known({ clientId: request.clientId, key }),
      Option.match({
        // The key expired and was swept between the two statements: it is free again.
        onNone: () => Effect.suspend(() => publish(request)),
        onSome: (first) =>
          Buffer.compare(first.requestHash, requestHash) === 0
            ? Effect.map(
              statements.deliveriesOf({ clientId: request.clientId, ids: first.eventIds }),
              (rows): Stored => ({ published: byEvent(first.eventIds, rows), leased: [], waiting: [], circuitOpen: [] })
            )
            : Effect.fail(new IdempotencyConflict({ key }))
      })
    )

  const publish = (request: PublishRequest): Effect.Effect<Stored, IdempotencyConflict | SqlError | ParseError> =>
    Effect.flatMap(statements.insert(request), (rows) =>
      rows.length === 0 && request.idempotency !== null
        ? replay(request, request.idempotency)
        : Effect.succeed(storedOf(request, rows)))

  return publish
}

/** Each distinct type with every pattern that it fits. */
const patternsOf = (
  types: ReadonlyArray<string>,
  isNotice: boolean
): ReadonlyArray<readonly [string, string]> =>
  Array.from(new Set(types)).flatMap((type) =>
    (isNotice ? noticePatternsOf : subscriptionsTo)(type).map((pattern) => [type, pattern] as const)
  )

const storedOf = (request: PublishRequest, rows: ReadonlyArray<InsertedRow>): Stored => {
  const events = new Map(request.events.map((event) => [event.id, event]))
  const waiting = rows.filter(({ hold, leaseToken }) => leaseToken === null && hold === null)
  return {
    published: byEvent(request.events.map(({ id }) => id), rows),
    leased: rows.flatMap((row) => {
      const event = events.get(row.eventId)
      return event === undefined ? [] : leasedOf(request.clientId, event, row)
    }),
    waiting: waiting.flatMap(({ webhookId }) => webhookId ?? []),
    circuitOpen: rows.flatMap(({ hold, webhookId }) => hold === "circuit" && webhookId !== null ? [webhookId] : [])
  }
}

const leasedOf = (
  clientId: ClientId,
  { body, eventType }: StorableEvent,
  { deliveryId, leaseToken, retryCount, signatures, timeoutMs, url, webhookId, ...row }: InsertedRow
): ReadonlyArray<ClaimedDelivery> => {
  if (deliveryId === null || leaseToken === null || webhookId === null) return []
  if (retryCount === null || signatures === null || timeoutMs === null || url === null) return []
  const { eventId, headersSealed, previousSecretSealed, secretSealed } = row
  const sending = { url, signatures, retryCount, timeoutMs, secretSealed, previousSecretSealed, headersSealed }
  const names = { id: deliveryId, leaseToken, eventId, eventType, webhookId, clientId }
  return [{ ...names, ...sending, body, probe: false, attemptCount: 0, chargedCount: 0 }]
}

/** One answer for each event, in the order in which they were handed over. */
const byEvent = (
  ids: ReadonlyArray<EventId>,
  rows: ReadonlyArray<typeof PublishedRow.Type>
): ReadonlyArray<Published> => {
  const deliveries = new Map(ids.map((id) => [id, new Array<Published["deliveries"][number]>()]))
  for (const { deliveryId, eventId, webhookId } of rows) {
    if (deliveryId !== null && webhookId !== null) deliveries.get(eventId)?.push({ id: deliveryId, webhookId })
  }
  return ids.map((eventId) => ({ eventId, deliveries: deliveries.get(eventId) ?? [] }))
}
