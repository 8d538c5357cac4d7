/** The end of leases and holds: what nobody is at work on any more becomes due again. */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import { type DeliveryId, toUuid } from "../domain/Ids.ts"

/** Rows of one round; what is left over waits for the next. */
const roundMax = 1_000

const outcomeUnknown = "The node that was to send it ended before it could tell what came of it; it is sent again."

/** Gives back what was claimed and never sent. */
export const release = (
  sql: SqlClient,
  leased: ReadonlyArray<{ readonly id: DeliveryId; readonly leaseToken: string }>
) =>
  sql`
    UPDATE deliveries d SET lease_token = NULL, leased_until = NULL
    FROM unnest(
      ${leased.map(({ id }) => toUuid(id))}::uuid[], ${leased.map(({ leaseToken }) => leaseToken)}::uuid[]
    ) AS l (id, token)
    WHERE d.id = l.id AND d.lease_token = l.token
  `

/** A lease that ran out means that its node died: an attempt of unknown outcome is written. Answers how many. */
export const reclaimExpired = (sql: SqlClient) =>
  sql`
    WITH expired AS (
      SELECT id FROM deliveries
      WHERE lease_token IS NOT NULL AND leased_until < now()
      LIMIT ${roundMax} FOR UPDATE SKIP LOCKED
    ), reclaimed AS (
      UPDATE deliveries d SET
        attempt_count = attempt_count + 1, next_retry_at = now(), lease_token = NULL, leased_until = NULL,
        error_class = 'outcome_unknown', error_message = ${outcomeUnknown}
      FROM expired e WHERE d.id = e.id
      RETURNING d.id, d.attempt_count
    )
    INSERT INTO attempts (id, delivery_id, number, result, error_class, error_message, started_at)
    SELECT uuid_v7(), id, attempt_count, 'outcome_unknown', 'outcome_unknown', ${outcomeUnknown}, now()
    FROM reclaimed
    RETURNING 1
  `.pipe(Effect.map((rows) => rows.length))

/** Lets out what is held for a webhook that is active again, or gone for good. Answers how many. */
export const releaseHolds = (sql: SqlClient) =>
  sql`
    WITH RECURSIVE walk AS (
      (SELECT webhook_id FROM deliveries WHERE hold IS NOT NULL ORDER BY webhook_id LIMIT 1)
      UNION ALL
      SELECT (SELECT d.webhook_id FROM deliveries d WHERE d.hold IS NOT NULL AND d.webhook_id > walk.webhook_id
              ORDER BY d.webhook_id LIMIT 1)
      FROM walk WHERE walk.webhook_id IS NOT NULL
    ), released AS (
      SELECT held.id FROM walk
      JOIN webhooks w ON w.id = walk.webhook_id AND (w.is_active OR w.deleted_at IS NOT NULL)
      CROSS JOIN LATERAL (
        SELECT id FROM deliveries d WHERE d.webhook_id = walk.webhook_id AND d.hold IS NOT NULL
        ORDER BY d.next_retry_at, d.id LIMIT ${roundMax} FOR UPDATE SKIP LOCKED
      ) held
      LIMIT ${roundMax}
    )
    UPDATE deliveries d SET hold = NULL FROM released r WHERE d.id = r.id RETURNING 1
  `.pipe(Effect.map((rows) => rows.length))
