/** Who is to know of outcomes: the audit log and the client of an endpoint that is gone, and of a delivery that ended. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Fragment } from "@effect/sql/Statement"
import { alertType, exhaustedType } from "../domain/EventType.ts"

const activeBefore = "{\"deactivation_reason\": null, \"is_active\": true}"
const goneAfter = "{\"deactivation_reason\": \"gone\", \"is_active\": false}"
const goneMessage =
  "The endpoint answered 410 Gone, so the webhook was switched off. Switch it on again if that was a mistake."

const notices = [exhaustedType, alertType]

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
      -- Of a notice that cannot be delivered nobody is told: that would be the next.
      SELECT put_notice(r.client_id, 'delivery.exhausted', r.webhook_id, jsonb_build_object(
        'delivery_id', typeid('dlv', r.id), 'event_id', typeid('evt', r.event_id), 'event_type', r.event_type,
        'webhook_id', typeid('whk', r.webhook_id), 'attempt_count', r.attempt_count, 'error_class', o.error_class,
        'error_message', o.error_message))
      FROM recorded r JOIN outcome o USING (position)
      WHERE o.status = 'failed_permanent' AND r.event_type <> ALL(${notices}) AND r.event_type NOT LIKE 'webhook.%'
    )
  `
