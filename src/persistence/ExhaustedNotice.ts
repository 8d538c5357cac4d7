/** Tells of deliveries that ended without having been delivered, in the statement that ends them. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Fragment } from "@effect/sql/Statement"
import { alertType, exhaustedType } from "../domain/EventType.ts"

const notices = [exhaustedType, alertType]

/**
 * `ended` selects `id`, `client_id`, `webhook_id`, `event_id`, `event_type`, `attempt_count`, `error_class` and
 * `error_message` of each delivery. The statement has to ask for the rows, or Postgres does not put the notices.
 */
export const exhausted = (sql: SqlClient, ended: Fragment): Fragment =>
  sql`
    SELECT put_notice(e.client_id, 'delivery.exhausted', e.webhook_id, jsonb_build_object(
      'delivery_id', typeid('dlv', e.id), 'event_id', typeid('evt', e.event_id), 'event_type', e.event_type,
      'webhook_id', typeid('whk', e.webhook_id), 'attempt_count', e.attempt_count, 'error_class', e.error_class,
      'error_message', e.error_message))
    FROM (${ended}) AS e
    -- Of a notice that cannot be delivered nobody is told: that would be the next.
    WHERE e.event_type <> ALL(${notices}) AND e.event_type NOT LIKE 'webhook.%'
  `
