/** Who is to know of outcomes: the audit log and the client of an endpoint that is gone, and of a delivery that ended. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Fragment } from "@effect/sql/Statement"
import { exhausted } from "./ExhaustedNotice.ts"

const activeBefore = "{\"deactivation_reason\": null, \"is_active\": true}"
const goneAfter = "{\"deactivation_reason\": \"gone\", \"is_active\": false}"
const goneMessage =
  "The endpoint answered 410 Gone, so the webhook was switched off. Switch it on again if that was a mistake."

/** The deliveries whose attempt was their last, and failed. */
const ended = (sql: SqlClient): Fragment =>
  sql`
    SELECT r.*, o.error_class, o.error_message FROM recorded r JOIN outcome o USING (position)
    WHERE o.status = 'failed_permanent'
  `

/** The CTEs from `audited` to `exhausted`: they read `recorded`, `outcome` and `tally`, and webhooks as they were before. */
export const outcomeNotices = (sql: SqlClient): Fragment =>
  sql`
    audited AS (
      -- Reads the webhook as it was before this statement.
      INSERT INTO audit_log (client_id, action, resource, resource_id, role, before, after)
      SELECT w.client_id, 'webhook.deactivated', 'webhook', w.id, 'system', ${activeBefore}, ${goneAfter}
      FROM tally t JOIN webhooks w ON w.id = t.webhook_id WHERE t.gone AND w.is_active
    ), alerted AS (
      SELECT raise_alert(w.client_id, w.id, 'webhook_deactivated', 'critical', ${goneMessage}::text, ${goneAfter}::jsonb),
        put_notice(w.client_id, 'webhook.deactivated', w.id, jsonb_build_object(
          'webhook_id', typeid('whk', w.id), 'deactivation_reason', 'gone', 'message', ${goneMessage}::text))
      FROM tally t JOIN webhooks w ON w.id = t.webhook_id WHERE t.gone AND w.is_active
    ), exhausted AS (
      ${exhausted(sql, ended(sql))}
    )
  `
