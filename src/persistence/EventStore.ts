/** Published events: storing them with their deliveries, and reading what was published. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Reach } from "../domain/Client.ts"
import { DeliveryStatus } from "../domain/Delivery.ts"
import { Event } from "../domain/Event.ts"
import { EventTypeName } from "../domain/EventType.ts"
import { type EventId, toUuid } from "../domain/Ids.ts"
import * as Page from "../domain/Page.ts"
import { DeliveryUuid, EventUuid, Timestamp, WebhookUuid } from "./Columns.ts"
import type { Committed, Stored } from "./Committed.ts"
import { DirectQuery } from "./DirectQuery.ts"
import { PersistenceError } from "./Postgres.ts"
import { publish } from "./Publish.ts"
import type { LeaseOffer, PublishRequest } from "./PublishRequest.ts"
import { type IdempotencyConflict, replay } from "./Replay.ts"

const EventRow = Schema.Struct({ ...Event.fields, id: EventUuid, occurredAt: Timestamp, createdAt: Timestamp })

const EventDetail = Schema.Struct({
  ...EventRow.fields,
  body: Schema.String,
  deliveries: Schema.Array(Schema.Struct({ id: DeliveryUuid, webhookId: WebhookUuid, status: DeliveryStatus }))
})
export type EventDetail = typeof EventDetail.Type

export interface EventFilter {
  readonly eventType: EventTypeName | null
}

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
  /** Durable when it answers. No two of the requests have one idempotency key of one client. */
  readonly publish: (
    requests: ReadonlyArray<PublishRequest>,
    lease: LeaseOffer | null
  ) => Effect.Effect<Committed, PersistenceError>
  /** What the first request with the same idempotency key was answered; none where the key is free again. */
  readonly replay: (
    request: PublishRequest
  ) => Effect.Effect<Option.Option<Stored>, PersistenceError | IdempotencyConflict>
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
    const run = yield* DirectQuery
    const statements = { list: list(sql), find: find(sql), replay: replay(sql) }
    return EventStore.of({
      publish: (requests, lease) =>
        publish(sql, run, requests, lease, ttlSeconds).pipe(PersistenceError.refail("EventStore.publish")),
      replay: (request) => statements.replay(request).pipe(PersistenceError.refail("EventStore.replay")),
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
