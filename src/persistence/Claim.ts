/** The claim: due deliveries of the webhooks that are named, leased to a node until it has sent them. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { EventTypeName } from "../domain/EventType.ts"
import { type ClientId, type DeliveryId, type EventId, fromUuid, toUuid, type WebhookId } from "../domain/Ids.ts"
import type { Webhook } from "../domain/Webhook.ts"
import type { DirectQuery } from "./DirectQuery.ts"

/** A delivery leased to this node, with all that it takes to send it. */
export interface ClaimedDelivery extends Pick<Webhook, "url" | "signatures" | "retryCount" | "timeoutMs"> {
  readonly id: DeliveryId
  /** A UUID. */
  readonly leaseToken: string
  /** The one delivery that tries whether the endpoint is back: its circuit is half open. */
  readonly probe: boolean
  readonly attemptCount: number
  readonly chargedCount: number
  readonly eventId: EventId
  readonly eventType: EventTypeName
  readonly body: string
  /** Where the publisher's trace stood (W3C Trace Context). */
  readonly traceparent: string | null
  readonly webhookId: WebhookId
  readonly clientId: ClientId
  /** Null once the webhook is deleted. */
  readonly secretSealed: Uint8Array | null
  /** Null where only the present secret signs. */
  readonly previousSecretSealed: Uint8Array | null
  readonly headersSealed: Uint8Array | null
}

export interface ClaimRequest {
  /** Each once, and how many of its deliveries to take at most. */
  readonly webhooks: ReadonlyArray<{ readonly webhookId: WebhookId; readonly most: number }>
  /** A UUID. */
  readonly leaseToken: string
  readonly leaseSeconds: number
}

/** As the columns are. Nothing in it comes from outside, and it is read too often to be checked. */
interface Row extends Omit<ClaimedDelivery, "id" | "eventId" | "webhookId"> {
  readonly id: string
  readonly eventId: string
  readonly webhookId: string
}

const claimedOf = (row: Row): ClaimedDelivery => ({
  ...row,
  id: fromUuid("DeliveryId", row.id),
  eventId: fromUuid("EventId", row.eventId),
  webhookId: fromUuid("WebhookId", row.webhookId)
})

/**
 * The oldest first, of each webhook; none of one that is on hold. When the pause of an open circuit is over, whoever asks
 * first gets one delivery as its probe; while a circuit is closing, no more are leased than its ramp allows.
 *
 * It does not wait for the disk: a lease that a crash of Postgres forgets was a lease on something that is due again, and
 * an outcome that is written under it takes it to the disk with itself.
 */
export const claim = (
  sql: SqlClient,
  run: DirectQuery["Type"],
  { leaseSeconds, leaseToken, webhooks }: ClaimRequest
): Effect.Effect<ReadonlyArray<ClaimedDelivery>, SqlError> =>
  Effect.map(
    run(sql<Row>`
      /* one plan */
      WITH named AS (
        SELECT * FROM unnest(
          ${webhooks.map(({ webhookId }) => toUuid(webhookId))}::uuid[], ${webhooks.map(({ most }) => most)}::int[]
        ) AS n (webhook_id, most)
      ), ready AS (
        -- The row's lock lets one claim through: the next finds the probe's time not over. Nobody waits for it, since two
        -- that lock many in different orders would wait for each other.
        SELECT w.id FROM named n JOIN webhooks w ON w.id = n.webhook_id
        -- A closed one has no time; said, because there is an index of the others.
        WHERE w.circuit <> 'closed' AND w.circuit_until <= now() AND w.is_active AND w.deleted_at IS NULL
          AND EXISTS (
            SELECT FROM deliveries d
            WHERE d.webhook_id = w.id AND d.next_retry_at <= now() AND d.lease_token IS NULL)
        FOR NO KEY UPDATE OF w SKIP LOCKED
      ), probing AS (
        UPDATE webhooks w SET
          circuit = 'half_open', circuit_until = now() + make_interval(secs => ${leaseSeconds} + w.timeout_ms / 1000.0),
          circuit_probe = ${leaseToken}::uuid, circuit_version = w.circuit_version + 1
        FROM ready r WHERE w.id = r.id
        RETURNING w.id
      ), allowed AS (
        SELECT n.webhook_id, p.id IS NOT NULL AS probe, CASE
          WHEN p.id IS NOT NULL THEN 1
          WHEN w.deleted_at IS NOT NULL THEN n.most
          WHEN NOT w.is_active OR w.circuit <> 'closed' THEN 0
          WHEN w.circuit_ramp IS NULL THEN n.most
          ELSE ramp_room(w.id, n.most)
        END AS most
        FROM named n JOIN webhooks w ON w.id = n.webhook_id LEFT JOIN probing p ON p.id = n.webhook_id
      ), picked AS (
        SELECT due.id
        FROM allowed a
        CROSS JOIN LATERAL (
          SELECT id FROM deliveries d
          WHERE d.webhook_id = a.webhook_id AND d.next_retry_at <= now() AND d.lease_token IS NULL
          ORDER BY d.next_retry_at, d.id
          LIMIT a.most
          FOR UPDATE SKIP LOCKED
        ) due
      ), claimed AS (
        UPDATE deliveries d SET
          lease_token = ${leaseToken}::uuid, leased_until = now() + make_interval(secs => ${leaseSeconds})
        -- A join would be planned for as many as the limits may allow, and would read all there are. The ends of the
        -- array say in which partitions to look.
        WHERE d.id = ANY(ARRAY(SELECT id FROM picked))
          AND d.id BETWEEN (SELECT id FROM picked ORDER BY id LIMIT 1) AND (SELECT id FROM picked ORDER BY id DESC LIMIT 1)
        RETURNING d.*
      )
      SELECT c.id, c.lease_token, a.probe, c.attempt_count, c.charged_count, c.event_id, c.event_type, c.client_id, c.webhook_id,
        e.body, e.traceparent, w.url, w.signatures, w.retry_count, w.timeout_ms, w.secret_sealed, w.headers_sealed,
        CASE WHEN w.previous_secret_expires_at > now() THEN w.previous_secret_sealed END AS previous_secret_sealed
      FROM claimed c
      JOIN allowed a ON a.webhook_id = c.webhook_id
      CROSS JOIN (SELECT set_config('synchronous_commit', 'off', true)) AS unflushed
      JOIN events e ON e.id = c.event_id
      JOIN webhooks w ON w.id = c.webhook_id
      ORDER BY c.next_retry_at, c.id
    `),
    (rows) => rows.map(claimedOf)
  )
