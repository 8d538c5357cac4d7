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
  attemptCount: Schema.Int,
  chargedCount: Schema.Int,
  eventId: EventUuid,
  eventType: EventTypeName,
  body: Schema.String,
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
 * The oldest first, of each webhook. Those of a webhook that is switched off are put on hold instead.
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
        WITH picked AS (
          SELECT due.id, w.is_active OR w.deleted_at IS NOT NULL AS released
          FROM unnest(
            ${webhooks.map(({ webhookId }) => webhookId)}::uuid[], ${webhooks.map(({ most }) => most)}::int[]
          ) AS named (webhook_id, most)
          JOIN webhooks w ON w.id = named.webhook_id
          CROSS JOIN LATERAL (
            SELECT id FROM deliveries d
            WHERE d.webhook_id = named.webhook_id AND d.next_retry_at <= now() AND d.lease_token IS NULL AND d.hold IS NULL
            ORDER BY d.next_retry_at, d.id
            LIMIT named.most
            FOR UPDATE SKIP LOCKED
          ) due
        ), claimed AS (
          UPDATE deliveries d SET
            lease_token = CASE WHEN p.released THEN ${leaseToken}::uuid END,
            leased_until = CASE WHEN p.released THEN now() + make_interval(secs => ${leaseSeconds}) END,
            hold = CASE WHEN NOT p.released THEN 'deactivated' END
          FROM picked p WHERE d.id = p.id
          RETURNING d.*
        )
        SELECT c.id, c.lease_token, c.attempt_count, c.charged_count, c.event_id, c.event_type, c.client_id, c.webhook_id,
          e.body, w.url, w.signatures, w.retry_count, w.timeout_ms, w.secret_sealed, w.headers_sealed,
          CASE WHEN w.previous_secret_expires_at > now() THEN w.previous_secret_sealed END AS previous_secret_sealed
        FROM claimed c
        CROSS JOIN (SELECT set_config('synchronous_commit', 'off', true)) AS unflushed
        JOIN events e ON e.id = c.event_id
        JOIN webhooks w ON w.id = c.webhook_id
        WHERE c.lease_token IS NOT NULL
        ORDER BY c.next_retry_at, c.id
      `
  })
