/**
 * Publishing is one statement for all who publish at the moment, so that they share its round trip and its commit. Of each
 * request event, deliveries and idempotency record commit or fail as one. Deliveries that this node has room for are leased
 * to it in the same statement and answered with all that it takes to send them, so that no claim stands between a commit and
 * its delivery.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type { Fragment } from "@effect/sql/Statement"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import { noticePatternsOf, subscriptionsTo } from "../domain/EventType.ts"
import { toUuid, type WebhookId } from "../domain/Ids.ts"
import * as Moment from "../domain/Moment.ts"
import { type Committed, committedOf, type Row } from "./Committed.ts"
import type { DirectQuery } from "./DirectQuery.ts"
import * as PgArray from "./PgArray.ts"
import type { LeaseOffer, PublishRequest } from "./PublishRequest.ts"

const requestColumns = (sql: SqlClient, requests: ReadonlyArray<PublishRequest>): Fragment =>
  sql`unnest(
    ${PgArray.quoted(requests, ({ clientId }) => clientId)}::text[],
    ${PgArray.quoted(requests, ({ idempotency }) => idempotency?.key ?? null)}::text[],
    ${PgArray.bytes(requests, ({ idempotency }) => idempotency?.requestHash ?? null)}::bytea[],
    ${PgArray.plain(requests, ({ target }) => uuidOrNull(target))}::uuid[],
    ${PgArray.plain(requests, ({ notice }) => notice !== null)}::boolean[],
    ${PgArray.plain(requests, ({ notice }) => uuidOrNull(notice?.about ?? null))}::uuid[],
    ${PgArray.plain(Array.from(requests.keys()), identity)}::int[]
  ) AS t (client_id, key, request_hash, target, is_notice, about, nth)`

const eventColumns = (sql: SqlClient, requests: ReadonlyArray<PublishRequest>): Fragment => {
  const events = requests.flatMap(({ events }) => events)
  const requestOf = requests.flatMap(({ events }, nth) => events.map(() => nth))
  return sql`unnest(
    ${PgArray.plain(events, ({ id }) => toUuid(id))}::uuid[],
    ${PgArray.quoted(events, ({ eventType }) => eventType)}::text[],
    ${PgArray.joined(sql, events, ({ body }) => body)},
    ${PgArray.quoted(events, ({ occurredAt }) => Moment.write(occurredAt))}::timestamptz[],
    ${PgArray.quoted(events, ({ traceparent }) => traceparent ?? null)}::text[],
    ${PgArray.plain(requestOf, identity)}::int[]
  ) WITH ORDINALITY AS t (id, event_type, body, occurred_at, traceparent, nth, position)`
}

/** The CTEs `matched` and `placed`, the last one left open: who wants what of `accepted`, and what of it is leased. */
const placing = (sql: SqlClient, requests: ReadonlyArray<PublishRequest>, lease: LeaseOffer | null): Fragment => {
  const patterns = patternsOf(requests)
  const { limited = [], most = 0, mostPerWebhook = 0 } = lease ?? {}
  return sql`
    matched AS (
      SELECT DISTINCT a.id AS event_id, a.event_type, a.client_id, s.webhook_id
      FROM accepted a
      JOIN unnest(
        ${patterns.map(({ eventType }) => eventType)}::text[], ${patterns.map(({ isNotice }) => isNotice)}::boolean[],
        ${patterns.map(({ pattern }) => pattern)}::text[]
      ) AS p (event_type, is_notice, pattern) USING (event_type, is_notice)
      JOIN subscriptions s ON s.client_id = a.client_id AND s.pattern = p.pattern
      WHERE a.target IS NULL AND s.webhook_id IS DISTINCT FROM a.about
      UNION ALL
      SELECT id, event_type, client_id, target FROM accepted WHERE target IS NOT NULL
    ), wanted AS (
      SELECT m.event_id, m.event_type, m.client_id, w.id AS webhook_id, webhook_hold(w) AS hold,
        CASE WHEN webhook_hold(w) IS NULL AND w.circuit = 'closed' AND w.circuit_ramp IS NULL
          THEN least(l.most, ${mostPerWebhook}::int) ELSE 0 END AS room,
        row_number() OVER (PARTITION BY w.id ORDER BY m.event_id) AS nth
      FROM matched m JOIN webhooks w ON w.id = m.webhook_id AND w.client_id = m.client_id
      LEFT JOIN unnest(
        ${limited.map(({ webhookId }) => toUuid(webhookId))}::uuid[], ${limited.map(({ most }) => most)}::int[]
      ) AS l (webhook_id, most) ON l.webhook_id = w.id
      WHERE w.deleted_at IS NULL AND w.deactivation_reason IS DISTINCT FROM 'owner'
    ), placed AS (
      SELECT *, uuid_v7() AS id, nth <= room AND row_number() OVER (PARTITION BY nth <= room ORDER BY nth) <= ${most} AS is_leased
      FROM wanted
  `
}

/** Requests share a statement: no two of them with one idempotency key of one client. */
export const publish = (
  sql: SqlClient,
  run: DirectQuery["Type"],
  requests: ReadonlyArray<PublishRequest>,
  lease: LeaseOffer | null,
  ttlSeconds: number
): Effect.Effect<Committed, SqlError> =>
  Effect.map(
    run(sql<Row>`
      WITH request AS (
        SELECT * FROM ${requestColumns(sql, requests)}
      ), event AS (
        SELECT * FROM ${eventColumns(sql, requests)}
      ), keyed AS (
        INSERT INTO idempotency_keys AS known (client_id, key, request_hash, event_ids, expires_at)
        SELECT client_id, key, request_hash, (SELECT array_agg(e.id ORDER BY e.position) FROM event e WHERE e.nth = r.nth),
          now() + make_interval(secs => ${ttlSeconds})
        FROM request r WHERE key IS NOT NULL
        -- In one order, so that no two nodes wait for each other.
        ORDER BY client_id, key
        ON CONFLICT (client_id, key) DO UPDATE SET
          request_hash = excluded.request_hash, event_ids = excluded.event_ids,
          created_at = now(), expires_at = excluded.expires_at
        WHERE known.expires_at <= now()
        RETURNING client_id, key
      ), accepted AS (
        SELECT e.id, e.event_type, e.body, e.occurred_at, e.traceparent, e.position, r.client_id, r.target, r.is_notice,
          r.about
        FROM event e JOIN request r USING (nth)
        WHERE r.key IS NULL OR EXISTS (SELECT FROM keyed k WHERE k.client_id = r.client_id AND k.key = r.key)
      ), stored AS (
        INSERT INTO events (id, client_id, event_type, body, occurred_at, traceparent)
        SELECT id, client_id, event_type, body, occurred_at, traceparent FROM accepted
      ), ${placing(sql, requests, lease)}
      ), delivery AS (
        INSERT INTO deliveries (id, webhook_id, client_id, event_id, event_type, lease_token, leased_until)
        SELECT id, webhook_id, client_id, event_id, event_type,
          CASE WHEN is_leased THEN ${lease?.token ?? null}::uuid END,
          CASE WHEN is_leased THEN now() + make_interval(secs => ${lease?.seconds ?? 0}) END
        FROM placed
      ), answer AS (
        -- A row of each webhook, not of each delivery: of those there are as many as events times subscribers.
        SELECT p.webhook_id, p.hold, count(*) FILTER (WHERE p.is_leased)::int AS leased_count,
          string_agg(a.position::text, ' ' ORDER BY p.nth) AS positions,
          string_agg(p.id::text, ' ' ORDER BY p.nth) AS delivery_ids
        FROM accepted a LEFT JOIN placed p ON p.event_id = a.id
        GROUP BY p.webhook_id, p.hold
      )
      SELECT a.*, w.url, w.signatures, w.retry_count, w.timeout_ms, w.secret_sealed, w.headers_sealed,
        CASE WHEN w.previous_secret_expires_at > now() THEN w.previous_secret_sealed END AS previous_secret_sealed
      FROM answer a LEFT JOIN webhooks w ON w.id = a.webhook_id AND a.leased_count > 0
    `),
    (rows) => committedOf(requests, rows, lease)
  )

const uuidOrNull = (id: WebhookId | null): string | null => id === null ? null : toUuid(id)

interface Pattern {
  readonly eventType: string
  readonly isNotice: boolean
  readonly pattern: string
}

/** Each distinct type with every pattern that it fits. */
const patternsOf = (requests: ReadonlyArray<PublishRequest>): ReadonlyArray<Pattern> => {
  const types = (isNotice: boolean) =>
    new Set(
      requests.filter(({ notice, target }) => target === null && (notice !== null) === isNotice)
        .flatMap(({ events }) => events.map(({ eventType }) => eventType))
    )
  const fitting = (isNotice: boolean, patterns: (type: string) => ReadonlyArray<string>) =>
    Array.from(types(isNotice)).flatMap((eventType) =>
      patterns(eventType).map((pattern): Pattern => ({ eventType, isNotice, pattern }))
    )
  return [...fitting(false, subscriptionsTo), ...fitting(true, noticePatternsOf)]
}
