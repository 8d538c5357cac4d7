/** Published events. Publishing is one statement, so event, deliveries and idempotency record commit or fail as one. */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { Reach } from "../domain/Client.ts"
import { DeliveryStatus } from "../domain/Delivery.ts"
import { Event, type Published } from "../domain/Event.ts"
import { EventTypeName, subscriptionsTo } from "../domain/EventType.ts"
import { ClientId, type EventId, toUuid } from "../domain/Ids.ts"
import * as Page from "../domain/Page.ts"
import { DeliveryUuid, EventUuid, Timestamp, WebhookUuid } from "./Columns.ts"
import { PersistenceError } from "./Postgres.ts"

const EventRow = Schema.Struct({ ...Event.fields, id: EventUuid, occurredAt: Timestamp, createdAt: Timestamp })

/** An event as it is to be stored: `body` is the canonical JSON of its envelope. */
const StorableEvent = Schema.Struct({
  ...EventRow.pick("id", "eventType", "occurredAt").fields,
  body: Schema.String
})
export type StorableEvent = typeof StorableEvent.Type

/** What one publisher asked for at once: all of it is stored, or nothing. */
const PublishRequest = Schema.Struct({
  clientId: ClientId,
  events: Schema.NonEmptyArray(StorableEvent),
  idempotency: Schema.NullOr(Schema.Struct({ key: Schema.String, requestHash: Schema.Uint8ArrayFromSelf })),
  /** Deliver to this webhook alone, whatever it subscribes to. */
  target: Schema.NullOr(WebhookUuid)
})
export type PublishRequest = typeof PublishRequest.Type

/** The idempotency key was used before, for another request. */
export class IdempotencyConflict extends Data.TaggedError("IdempotencyConflict")<{ readonly key: string }> {}

const PublishedRow = Schema.Struct({
  eventId: EventUuid,
  deliveryId: Schema.NullOr(DeliveryUuid),
  webhookId: Schema.NullOr(WebhookUuid)
})

const EventDetail = Schema.Struct({
  ...EventRow.fields,
  body: Schema.String,
  deliveries: Schema.Array(Schema.Struct({ id: DeliveryUuid, webhookId: WebhookUuid, status: DeliveryStatus }))
})
export type EventDetail = typeof EventDetail.Type

export interface EventFilter {
  readonly eventType: EventTypeName | null
}

const insert = (sql: SqlClient.SqlClient, ttlSeconds: number) =>
  SqlSchema.findAll({
    Request: PublishRequest,
    Result: PublishedRow,
    execute: ({ clientId, events, idempotency, target }) => {
      const patterns = patternsOf(events.map((event) => event.eventType))
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
          WHERE ${target}::uuid IS NULL
          UNION ALL
          SELECT id, event_type, ${target}::uuid FROM accepted WHERE ${target}::uuid IS NOT NULL
        ), delivery AS (
          INSERT INTO deliveries (id, webhook_id, client_id, event_id, event_type, hold)
          SELECT uuid_v7(), w.id, ${clientId}, m.event_id, m.event_type,
            CASE WHEN NOT w.is_active THEN 'deactivated' END
          FROM matched m JOIN webhooks w ON w.id = m.webhook_id
          WHERE w.client_id = ${clientId} AND w.deleted_at IS NULL AND w.deactivation_reason IS DISTINCT FROM 'owner'
          RETURNING id, event_id, webhook_id
        )
        SELECT a.id AS event_id, d.id AS delivery_id, d.webhook_id
        FROM accepted a LEFT JOIN delivery d ON d.event_id = a.id
        ORDER BY d.id
      `
    }
  })

const known = (sql: SqlClient.SqlClient) =>
  SqlSchema.findOne({
    Request: Schema.Struct({ clientId: ClientId, key: Schema.String }),
    Result: Schema.Struct({ requestHash: Schema.Uint8ArrayFromSelf, eventIds: Schema.Array(EventUuid) }),
    execute: ({ clientId, key }) =>
      sql`SELECT request_hash, event_ids FROM idempotency_keys WHERE client_id = ${clientId} AND key = ${key}`
  })

const deliveriesOf = (sql: SqlClient.SqlClient) =>
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

const list = (sql: SqlClient.SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Struct({
      ...Reach.fields,
      eventType: Schema.NullOr(EventTypeName),
      after: Schema.NullOr(Schema.String),
      rows: Schema.Int
    }),
    Result: EventRow,
    execute: ({ after, eventType, only, rows }) =>
      sql`
        SELECT id, client_id, event_type, occurred_at, created_at FROM events
        WHERE (${only}::text IS NULL OR client_id = ${only})
          AND (${eventType}::text IS NULL OR event_type = ${eventType})
          AND (${after}::uuid IS NULL OR id < ${after})
        ORDER BY id DESC LIMIT ${rows}
      `
  })

const find = (sql: SqlClient.SqlClient) =>
  SqlSchema.findOne({
    Request: Schema.Struct({ ...Reach.fields, id: EventUuid }),
    Result: EventDetail,
    execute: ({ id, only }) =>
      sql`
        SELECT e.*, coalesce(
          (SELECT json_agg(json_build_object('id', d.id, 'webhookId', d.webhook_id, 'status', d.status) ORDER BY d.id)
           FROM deliveries d WHERE d.event_id = e.id AND d.client_id = e.client_id), '[]') AS deliveries
        FROM events e WHERE e.id = ${id} AND (${only}::text IS NULL OR e.client_id = ${only})
      `
  })

export class EventStore extends Context.Tag("deeper-hub-webhooks/persistence/EventStore")<EventStore, {
  /** Durable when it answers. A repeated idempotency key answers what the first request was answered. */
  readonly publish: (
    request: PublishRequest
  ) => Effect.Effect<ReadonlyArray<Published>, PersistenceError | IdempotencyConflict>
  readonly list: (
    reach: Reach,
    filter: EventFilter,
    page: Page.PageRequest
  ) => Effect.Effect<Page.Page<Event>, PersistenceError>
  readonly find: (reach: Reach, id: EventId) => Effect.Effect<Option.Option<EventDetail>, PersistenceError>
  /** Forgets idempotency keys past their time; answers how many. */
  readonly expireIdempotencyKeys: Effect.Effect<number, PersistenceError>
}>() {
  static readonly layer = (options: { readonly idempotencyTtl: Duration.DurationInput }) =>
    Layer.effect(this, make(Duration.toSeconds(options.idempotencyTtl)))
}

const make = (ttlSeconds: number) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const statements = {
      insert: insert(sql, ttlSeconds),
      known: known(sql),
      deliveriesOf: deliveriesOf(sql),
      list: list(sql),
      find: find(sql)
    }
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
                (rows) => byEvent(first.eventIds, rows)
              )
              : Effect.fail(new IdempotencyConflict({ key }))
        })
      )

    const publish = (
      request: PublishRequest
    ): Effect.Effect<ReadonlyArray<Published>, IdempotencyConflict | SqlError | ParseError> =>
      Effect.flatMap(statements.insert(request), (rows) =>
        rows.length === 0 && request.idempotency !== null
          ? replay(request, request.idempotency)
          : Effect.succeed(byEvent(request.events.map((event) => event.id), rows)))

    return EventStore.of({
      publish: (request) => publish(request).pipe(PersistenceError.refail("EventStore.publish")),
      list: (reach, filter, page) =>
        statements.list({ ...reach, ...filter, after: page.after, rows: page.limit + 1 }).pipe(
          Effect.map((rows) => Page.fromRows(rows, page, (event) => toUuid(event.id))),
          PersistenceError.refail("EventStore.list")
        ),
      find: (reach, id) => statements.find({ ...reach, id }).pipe(PersistenceError.refail("EventStore.find")),
      expireIdempotencyKeys: expireSome(sql).pipe(
        Effect.repeat({ while: (expired) => expired === sweepMax }),
        PersistenceError.refail("EventStore.expireIdempotencyKeys")
      )
    })
  })

/** Rows of one statement, so that none takes long, however many keys there are. */
const sweepMax = 5_000

const expireSome = (sql: SqlClient.SqlClient) =>
  Effect.map(
    sql`
      DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM idempotency_keys WHERE expires_at <= now() LIMIT ${sweepMax} FOR UPDATE SKIP LOCKED))
      RETURNING 1
    `,
    (rows) => rows.length
  )

/** Each distinct type with every pattern that it fits. */
const patternsOf = (types: ReadonlyArray<string>): ReadonlyArray<readonly [string, string]> =>
  Array.from(new Set(types)).flatMap((type) => subscriptionsTo(type).map((pattern) => [type, pattern] as const))

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
