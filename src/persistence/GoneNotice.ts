/** Tells of endpoints that answered 410 Gone, in the statement that switches their webhooks off. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Fragment } from "@effect/sql/Statement"
import { deactivatedType } from "../domain/EventType.ts"

/** What the webhook is from then on, as the audit log and alerts have it. */
export const goneAfter = "{\"deactivation_reason\": \"gone\", \"is_active\": false}"

/**
 * `webhooks` selects `id` and `client_id` of each. The statement has to ask for the rows, or Postgres neither raises the
 * alerts nor puts the notices.
 */
export const gone = (sql: SqlClient, webhooks: Fragment, message: string): Fragment =>
  sql`
    SELECT raise_alert(g.client_id, g.id, 'webhook_deactivated', 'critical', ${message}::text, ${goneAfter}::jsonb),
      put_notice(g.client_id, ${deactivatedType}::text, g.id, jsonb_build_object(
        'webhook_id', typeid('whk', g.id), 'deactivation_reason', 'gone', 'message', ${message}::text))
    FROM (${webhooks}) AS g
  `
