/** The claim: which due deliveries a node may send next, fairly among webhooks, leased to it until it has sent them. */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { EventTypeName } from "../domain/EventType.ts"
import { ClientId, type WebhookId } from "../domain/Ids.ts"
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
  limit: Schema.Int.pipe(Schema.between(1, 1_000)),
  leaseToken: Schema.UUID,
  leaseSeconds: Schema.Int,
  /** Where the last claim's walk over the webhooks ended. */
  after: Schema.NullOr(WebhookUuid)
})

export type ClaimRequest = typeof ClaimRequest.Type

export interface Claim {
  readonly deliveries: ReadonlyArray<ClaimedDelivery>
  /** Hand this to the next claim: it goes on from there, so that every webhook gets its turn. Null: begin anew. */
  readonly next: WebhookId | null
  /** Some webhook gave as many as one webhook may, and so may have more. */
  readonly full: boolean
}

/** Webhooks visited by one claim. */
const visitsMax = 100

const leaseDue = (sql: SqlClient) =>
  SqlSchema.findAll({
    Request: ClaimRequest,
    Result: Schema.Union(ClaimedDelivery, Schema.Struct({ id: Schema.Null, webhookId: WebhookUuid })),
    execute: ({ after, leaseSeconds, leaseToken, limit }) =>
      sql`
        WITH RECURSIVE walk AS (
          -- From webhook to webhook through the index, never row by row through one webhook's backlog.
          (SELECT webhook_id FROM deliveries
           WHERE next_retry_at IS NOT NULL AND lease_token IS NULL AND hold IS NULL
             AND (${after}::uuid IS NULL OR webhook_id > ${after})
           ORDER BY webhook_id LIMIT 1)
          UNION ALL
          SELECT (SELECT d.webhook_id FROM deliveries d
                  WHERE d.next_retry_at IS NOT NULL AND d.lease_token IS NULL AND d.hold IS NULL
                    AND d.webhook_id > walk.webhook_id
                  ORDER BY d.webhook_id LIMIT 1)
          FROM walk WHERE walk.webhook_id IS NOT NULL
        ), visited AS (
          SELECT webhook_id FROM walk WHERE webhook_id IS NOT NULL LIMIT ${Math.min(visitsMax, limit)}
        ), picked AS (
          SELECT due.id, w.is_active OR w.deleted_at IS NOT NULL AS released
          FROM visited v
          JOIN webhooks w ON w.id = v.webhook_id
          CROSS JOIN LATERAL (
            SELECT id FROM deliveries d
            WHERE d.webhook_id = v.webhook_id AND d.next_retry_at <= now() AND d.lease_token IS NULL AND d.hold IS NULL
            ORDER BY d.next_retry_at, d.id
            LIMIT (SELECT ${limit} / greatest(count(*), 1) FROM visited)
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
        SELECT c.id, c.lease_token, c.attempt_count, c.charged_count, c.event_id, c.event_type, c.client_id,
          v.webhook_id, e.body, w.url, w.signatures, w.retry_count, w.timeout_ms, w.secret_sealed, w.headers_sealed,
          CASE WHEN w.previous_secret_expires_at > now() THEN w.previous_secret_sealed END AS previous_secret_sealed
        FROM visited v
        LEFT JOIN claimed c ON c.webhook_id = v.webhook_id AND c.lease_token IS NOT NULL
        LEFT JOIN events e ON e.id = c.event_id
        LEFT JOIN webhooks w ON w.id = c.webhook_id
        ORDER BY v.webhook_id, c.next_retry_at, c.id
      `
  })

export const claim = (sql: SqlClient) => {
  const lease = leaseDue(sql)
  return (request: ClaimRequest) =>
    Effect.map(lease(request), (rows): Claim => {
      const deliveries = rows.filter((row): row is ClaimedDelivery => row.id !== null)
      const visited = new Set(rows.map((row) => row.webhookId)).size
      const next = visited < Math.min(visitsMax, request.limit) ? null : rows.at(-1)?.webhookId ?? null
      const share = Math.floor(request.limit / Math.max(visited, 1))
      return { deliveries, next, full: anyHas(deliveries, share) }
    })
}

/** Whether any webhook has as many deliveries as one webhook may. Rows of one webhook stand together. */
const anyHas = (deliveries: ReadonlyArray<ClaimedDelivery>, share: number): boolean =>
  deliveries.some(({ webhookId }, i) => deliveries[i + share - 1]?.webhookId === webhookId)
