/** The claim: due deliveries of the webhooks that are named, leased to a node until it has sent them. */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Schema from "effect/Schema"
import { EventTypeName } from "../domain/EventType.ts"
import { ClientId } from "../domain/Ids.ts"
import { Webhook } from "../domain/Webhook.ts"
import { DeliveryUuid, EventUuid, WebhookUuid } from "./Columns.ts"

/** A delivery leased to this node, with all that it takes to send it. */
const ClaimedDelivery = Schema.Struct({
  id: DeliveryUuid,
  leaseToken: Schema.UUID,
  /** The one delivery that tries whether the endpoint is back: its circuit is half open. */
  probe: Schema.Boolean,
  attemptCount: Schema.Int,
  chargedCount: Schema.Int,
  eventId: EventUuid,
  eventType: EventTypeName,
  body: Schema.String,
  /** Where the publisher's trace stood (W3C Trace Context). */
  traceparent: Schema.NullOr(Schema.String),
  webhookId: WebhookUuid,
  clientId: ClientId,
  ...Webhook.pick("url", "signatures", "retryCount", "timeoutMs").fields,
  /** Null once the webhook is deleted. */
  secretSealed: Schema.NullOr(Schema.Uint8ArrayFromSelf),
  /** Null where only the present secret signs. */
  previousSecretSealed: Schema.NullOr(Schema.Uint8ArrayFromSelf),
  headersSealed: Schema.NullOr(Schema.Uint8ArrayFromSelf)
})
export type ClaimedDelivery = typeof ClaimedDelivery.Type

export const ClaimRequest = Schema.Struct({
  /** Each once, and how many of its deliveries to take at most. */
  webhooks: Schema.Array(
    Schema.Struct({ webhookId: WebhookUuid, most: Schema.Int.pipe(Schema.between(1, 1_000)) })
  ).pipe(Schema.maxItems(100)),
  leaseToken: Schema.UUID,
  leaseSeconds: Schema.Int
})
export type ClaimRequest = typeof ClaimRequest.Type

/**
 * The oldest first, of each webhook; none of one that is on hold. When the pause of an open circuit is over, whoever asks
 * first gets one delivery as its probe; while a circuit is closing, no more are leased than its ramp allows.
 *
 * It does not wait for the disk: a lease that a crash of Postgres forgets was a lease on something that is due again, and
 * an outcome that is written under it takes it to the disk with itself.
 */
export const claim = (sql: SqlClient) =>
  SqlSchema.findAll({
    Request: ClaimRequest,
    Result: ClaimedDelivery,
    execute: ({ leaseSeconds, leaseToken, webhooks }) =>
      sql`
        /* one plan */
        WITH named AS (
          SELECT * FROM unnest(
            ${webhooks.map(({ webhookId }) => webhookId)}::uuid[], ${webhooks.map(({ most }) => most)}::int[]
          ) AS n (webhook_id, most)
        ), ready AS (
          -- The row's lock lets one claim through: the next finds the probe's time not over. Nobody waits for it, since two
          -- that lock many in different orders would wait for each other.
          SELECT w.id FROM named n JOIN webhooks w ON w.id = n.webhook_id
          WHERE w.circuit_until <= now() AND w.is_active AND w.deleted_at IS NULL
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
      `
  })
