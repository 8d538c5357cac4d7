/** Whom an event concerned: the webhooks of its client, its deliveries, and what was changed of the webhooks since. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { DeliveryFacts, Member, type Replaced, Wants } from "../domain/Audience.ts"
import { Reach } from "../domain/Client.ts"
import { Event } from "../domain/Event.ts"
import { alertType, exhaustedType } from "../domain/EventType.ts"
import { ClientId, type EventId, toUuid, type WebhookId } from "../domain/Ids.ts"
import * as Page from "../domain/Page.ts"
import { DeliveryUuid, EventUuid, JsonFromText, Timestamp, WebhookUuid } from "./Columns.ts"
import { PersistenceError } from "./Postgres.ts"

const EventRow = Schema.Struct({
  ...Event.fields,
  id: EventUuid,
  occurredAt: Timestamp,
  createdAt: Timestamp,
  /** Whether it became none, one, or (2) more deliveries. */
  deliveries: Schema.Int,
  /** The body of a notice; null of any other event. */
  notice: Schema.NullOr(
    Schema.compose(
      JsonFromText,
      Schema.Struct({ data: Schema.Struct({ webhook_id: Schema.optional(Schema.Unknown) }) }),
      { strict: false }
    )
  )
})

const MemberRow = Schema.Struct({
  ...Member.omit("delivery").fields,
  id: WebhookUuid,
  createdAt: Timestamp,
  deletedAt: Schema.NullOr(Timestamp),
  deactivatedAt: Schema.NullOr(Timestamp),
  circuitUntil: Schema.NullOr(Timestamp),
  healAt: Schema.NullOr(Timestamp)
})

const DeliveryRow = Schema.Struct({
  ...DeliveryFacts.fields,
  id: DeliveryUuid,
  webhookId: WebhookUuid,
  nextRetryAt: Schema.NullOr(Timestamp),
  deliveredAt: Schema.NullOr(Timestamp)
})

const ReplacedText = Schema.compose(
  JsonFromText,
  Schema.Struct({
    events: Schema.optional(Wants.fields.events),
    deactivation_reason: Schema.optional(Wants.fields.deactivationReason)
  }),
  { strict: false }
)

const ChangeRow = Schema.Struct({ webhookId: WebhookUuid, before: ReplacedText })

const notices = [exhaustedType, alertType]

const event = (sql: SqlClient.SqlClient) =>
  SqlSchema.findOne({
    Request: Schema.Struct({ ...Reach.fields, id: EventUuid }),
    Result: EventRow,
    execute: ({ id, only }) =>
      sql`
        SELECT e.id, e.client_id, e.event_type, e.occurred_at, e.created_at,
          (SELECT count(*)::int FROM (
            SELECT FROM deliveries d WHERE d.event_id = e.id AND d.client_id = e.client_id LIMIT 2) d) AS deliveries,
          CASE WHEN e.event_type LIKE 'webhook.%' OR e.event_type = ANY(${notices})
            THEN e.body END AS notice
        FROM events e WHERE e.id = ${id} AND (${only}::text IS NULL OR e.client_id = ${only})
      `
  })

const members = (sql: SqlClient.SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Struct({
      client: ClientId,
      event: EventUuid,
      after: Schema.NullOr(Schema.String),
      rows: Schema.Int
    }),
    Result: MemberRow,
    execute: ({ after, client, event, rows }) =>
      sql`
        WITH member AS (
          (SELECT id FROM webhooks
           WHERE client_id = ${client} AND deleted_at IS NULL AND (${after}::uuid IS NULL OR id < ${after})
           ORDER BY id DESC LIMIT ${rows})
          UNION
          (SELECT webhook_id FROM deliveries
           WHERE event_id = ${event} AND client_id = ${client} AND (${after}::uuid IS NULL OR webhook_id < ${after})
           ORDER BY webhook_id DESC LIMIT ${rows})
        )
        SELECT w.id, w.name, w.url, w.events, w.deactivation_reason, w.created_at, w.deleted_at, w.deactivated_at,
          w.circuit_until, w.heal_at
        FROM member m JOIN webhooks w ON w.id = m.id
        WHERE w.client_id = ${client}
        ORDER BY w.id DESC LIMIT ${rows}
      `
  })

const About = Schema.Struct({ client: ClientId, webhooks: Schema.Array(WebhookUuid) })

const deliveries = (sql: SqlClient.SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Struct({ ...About.fields, event: EventUuid }),
    Result: DeliveryRow,
    execute: ({ client, event, webhooks }) =>
      sql`
        SELECT d.webhook_id, d.id, d.status, d.attempt_count, d.next_retry_at, d.error_class, d.error_message, d.delivered_at,
          coalesce(d.next_retry_at <= now(), false) AS is_due, d.lease_token IS NOT NULL AS is_leased,
          CASE WHEN d.next_retry_at <= now() AND d.lease_token IS NULL THEN webhook_hold(w) END AS hold
        FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id AND w.client_id = d.client_id
        WHERE d.event_id = ${event} AND d.client_id = ${client} AND d.webhook_id = ANY(${webhooks}::uuid[])
      `
  })

/** Of each webhook the first change of each fact since then: what was replaced later says nothing of that moment. */
const changes = (sql: SqlClient.SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Struct({ ...About.fields, since: Timestamp }),
    Result: ChangeRow,
    execute: ({ client, since, webhooks }) =>
      sql`
        SELECT m.id AS webhook_id, c.before FROM unnest(${webhooks}::uuid[]) AS m (id)
        CROSS JOIN unnest(${["events", "deactivation_reason"]}::text[]) AS f (name)
        CROSS JOIN LATERAL (
          SELECT a.id, a.before FROM audit_log a
          WHERE a.client_id = ${client} AND a.resource = 'webhook' AND a.resource_id = m.id::text
            AND a.id >= uuid_v7_floor(${since}::timestamptz) AND a.created_at > ${since}
            AND position('"' || f.name || '": ' IN a.before) > 0
          ORDER BY a.id LIMIT 1
        ) c
        ORDER BY c.id
      `
  })

export class AudienceStore extends Context.Tag("deeper-hub-webhooks/persistence/AudienceStore")<AudienceStore, {
  readonly event: (
    reach: Reach,
    id: EventId
  ) => Effect.Effect<Option.Option<typeof EventRow.Type>, PersistenceError>
  /** Webhooks of the client that exist, or that the event has a delivery to; newest first. */
  readonly members: (
    client: ClientId,
    event: EventId,
    page: Page.PageRequest
  ) => Effect.Effect<Page.Page<Member>, PersistenceError>
  /** What later changes of these webhooks replaced, the oldest first. */
  readonly changes: (
    client: ClientId,
    webhooks: ReadonlyArray<WebhookId>,
    since: DateTime.Utc
  ) => Effect.Effect<ReadonlyMap<WebhookId, ReadonlyArray<Replaced>>, PersistenceError>
}>() {
  static readonly layer = Layer.effect(this, Effect.suspend(() => make))
}

const make = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const statements = { event: event(sql), members: members(sql), deliveries: deliveries(sql), changes: changes(sql) }
  return AudienceStore.of({
    event: (reach, id) => statements.event({ ...reach, id }).pipe(PersistenceError.refail("AudienceStore.event")),
    members: (client, event, page) =>
      Effect.gen(function*() {
        const rows = yield* statements.members({ client, event, after: page.after, rows: page.limit + 1 })
        const found = Page.fromRows(rows, page, ({ id }) => toUuid(id))
        const webhooks = found.data.map(({ id }) => id)
        const sent = new Map(
          (yield* statements.deliveries({ client, event, webhooks })).map(({ webhookId, ...delivery }) =>
            [webhookId, delivery] as const
          )
        )
        return {
          ...found,
          data: found.data.map((row): Member => Object.assign(row, { delivery: sent.get(row.id) ?? null }))
        }
      }).pipe(PersistenceError.refail("AudienceStore.members")),
    changes: (client, webhooks, since) =>
      statements.changes({ client, webhooks, since }).pipe(
        Effect.map(byWebhook),
        PersistenceError.refail("AudienceStore.changes")
      )
  })
})

const byWebhook = (
  rows: ReadonlyArray<typeof ChangeRow.Type>
): ReadonlyMap<WebhookId, ReadonlyArray<Replaced>> => {
  const known = new Map<WebhookId, Array<Replaced>>()
  for (const { before: { deactivation_reason: deactivationReason, events }, webhookId } of rows) {
    const replaced = { events, deactivationReason }
    const others = known.get(webhookId)
    if (others === undefined) known.set(webhookId, [replaced])
    else others.push(replaced)
  }
  return known
}
