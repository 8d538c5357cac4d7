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
import * as Option from "effect/Option"
import type { Event, Published } from "../domain/Event.ts"
import { noticePatternsOf, subscriptionsTo } from "../domain/EventType.ts"
import { type ClientId, type DeliveryId, fromUuid, toUuid, type WebhookId } from "../domain/Ids.ts"
import * as Moment from "../domain/Moment.ts"
import type { Webhook } from "../domain/Webhook.ts"
import type { ClaimedDelivery } from "./Claim.ts"
import type { DirectQuery } from "./DirectQuery.ts"
import * as PgArray from "./PgArray.ts"

/** An event as it is to be stored: `body` is the canonical JSON of its envelope. */
export interface StorableEvent extends Pick<Event, "id" | "eventType" | "occurredAt"> {
  readonly body: string
  /** Where the publisher's trace stands (W3C Trace Context). */
  readonly traceparent?: string | null
}

/** What of the deliveries to come this node may send at once, without claiming them. */
export interface LeaseOffer {
  readonly token: string
  readonly seconds: number
  /** Deliveries in all, and of each webhook. */
  readonly most: number
  readonly mostPerWebhook: number
  /** These may have fewer, or none. */
  readonly limited: ReadonlyArray<{ readonly webhookId: WebhookId; readonly most: number }>
}

/** What one publisher asked for at once: all of it is stored, or nothing. */
export interface PublishRequest {
  readonly clientId: ClientId
  readonly events: readonly [StorableEvent, ...ReadonlyArray<StorableEvent>]
  readonly idempotency: { readonly key: string; readonly requestHash: Uint8Array } | null
  /** Deliver to this webhook alone, whatever it subscribes to. */
  readonly target: WebhookId | null
  /** Of a notice of the service's own: the webhook that it tells of, which is not told. Null of a platform's event. */
  readonly notice: { readonly about: WebhookId | null } | null
}

/** What was stored of a request, or where its idempotency key was used before, what had been. */
export interface Stored {
  /** In the order in which the events were handed over. */
  readonly published: ReadonlyArray<Published>
  /** Webhooks with a delivery that nobody is at work on yet. */
  readonly waiting: ReadonlyArray<WebhookId>
  /** Webhooks whose new delivery waits for an open circuit. */
  readonly circuitOpen: ReadonlyArray<WebhookId>
}

export interface Committed {
  /** One for each request, in their order; none where its idempotency key was used before. */
  readonly stored: ReadonlyArray<Option.Option<Stored>>
  /** What is leased to this node. */
  readonly leased: ReadonlyArray<ClaimedDelivery>
}

/** Deliveries to one webhook, or the events that nobody wants. Nothing in it comes from outside. */
interface Row {
  readonly webhookId: string | null
  readonly hold: string | null
  /** Which of the events, counted from 1, with spaces in between. */
  readonly positions: string
  /** The delivery of each; null where nobody wants them. */
  readonly deliveryIds: string | null
  /** So many of them, the first, are leased. */
  readonly leasedCount: number
  /** Null where none is leased. */
  readonly url: string | null
  readonly signatures: Webhook["signatures"] | null
  readonly retryCount: number | null
  readonly timeoutMs: number | null
  readonly secretSealed: Uint8Array | null
  readonly previousSecretSealed: Uint8Array | null
  readonly headersSealed: Uint8Array | null
}

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

/** What became of one event; `deliveries` stays null where it was not accepted. */
interface Landing {
  readonly clientId: ClientId
  readonly event: StorableEvent
  readonly leased: Array<ClaimedDelivery>
  deliveries: Array<Published["deliveries"][number]> | null
  /** Of the whole request. */
  readonly found: Found
}

interface Found extends Stored {
  readonly published: Array<Published>
  readonly waiting: Array<WebhookId>
  readonly circuitOpen: Array<WebhookId>
}

const committedOf = (
  requests: ReadonlyArray<PublishRequest>,
  rows: ReadonlyArray<Row>,
  lease: LeaseOffer | null
): Committed => {
  const landings = requests.map(({ clientId, events }) => {
    const found: Found = { published: [], waiting: [], circuitOpen: [] }
    return events.map((event): Landing => ({ clientId, event, leased: [], deliveries: null, found }))
  })
  const inOrder = landings.flat()
  for (const row of rows) note(inOrder, row, lease)
  return {
    stored: landings.map((ofRequest) => storedOf(ofRequest)),
    // By id, which is by chance: no webhook is always the first of its event's.
    leased: inOrder.flatMap(({ leased }) => leased.sort(byId))
  }
}

const note = (landings: ReadonlyArray<Landing>, row: Row, lease: LeaseOffer | null): void => {
  const webhookId = row.webhookId === null ? null : fromUuid("WebhookId", row.webhookId)
  const ids = row.deliveryIds?.split(" ") ?? []
  row.positions.split(" ").forEach((position, nth) => {
    const landing = landings[Number(position) - 1]
    if (landing === undefined) return
    landing.deliveries ??= []
    const uuid = ids[nth]
    if (webhookId === null || uuid === undefined) return
    const delivery = { id: fromUuid("DeliveryId", uuid), webhookId }
    const { clientId, deliveries, event, found, leased } = landing
    deliveries.push(delivery)
    if (row.hold === "circuit") found.circuitOpen.push(webhookId)
    if (nth >= row.leasedCount) {
      if (row.hold === null) found.waiting.push(webhookId)
      return
    }
    const claimed = lease === null ? null : claimedOf(clientId, event, delivery, row, lease.token)
    if (claimed !== null) leased.push(claimed)
  })
}

/** None where the request's key was used before: then none of its events was accepted. */
const storedOf = (landings: ReadonlyArray<Landing>): Option.Option<Stored> => {
  const [first] = landings
  if (first === undefined || first.deliveries === null) return Option.none()
  for (const { deliveries, event } of landings) {
    first.found.published.push({ eventId: event.id, deliveries: (deliveries ?? []).sort(byId) })
  }
  return Option.some(first.found)
}

/** A repetition is answered in the same order. */
const byId = (a: { readonly id: DeliveryId }, b: { readonly id: DeliveryId }): number => a.id < b.id ? -1 : 1

/** As it would have been claimed; null where the row tells of no sender. */
const claimedOf = (
  clientId: ClientId,
  { body, eventType, id: eventId, traceparent = null }: StorableEvent,
  { id, webhookId }: Published["deliveries"][number],
  { headersSealed, previousSecretSealed, retryCount, secretSealed, signatures, timeoutMs, url }: Row,
  leaseToken: string
): ClaimedDelivery | null => {
  if (retryCount === null || signatures === null || timeoutMs === null || url === null) return null
  return {
    id,
    leaseToken,
    probe: false,
    attemptCount: 0,
    chargedCount: 0,
    eventId,
    eventType,
    body,
    traceparent,
    webhookId,
    clientId,
    url,
    signatures,
    retryCount,
    timeoutMs,
    secretSealed,
    previousSecretSealed,
    headersSealed
  }
}
