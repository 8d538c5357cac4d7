/** Who is to know of outcomes: the audit log and the client of an endpoint that is gone, and of a delivery that ended. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Fragment } from "@effect/sql/Statement"
import { exhausted } from "./ExhaustedNotice.ts"
import { gone, goneAfter } from "./GoneNotice.ts"

const activeBefore = "{\"deactivation_reason\": null, \"is_active\": true}"
const goneMessage =
  "The endpoint answered 410 Gone, so the webhook was switched off. Switch it on again if that was a mistake."

/** The deliveries whose attempt was their last, and failed. */
const ended = (sql: SqlClient): Fragment =>
  sql`
    SELECT r.*, r.delivery_id AS id FROM recorded r WHERE r.status = 'failed_permanent'
  `

/** The webhooks whose endpoints are gone since this statement. */
const switchedOff = (sql: SqlClient): Fragment =>
  sql`SELECT w.client_id, w.id FROM tally t JOIN webhooks w ON w.id = t.webhook_id WHERE t.gone AND w.is_active`

/** The CTEs from `audited` to `exhausted`: they read `recorded` and `tally`, and webhooks as they were before. */
export const outcomeNotices = (sql: SqlClient): Fragment =>
  sql`
    audited AS (
      -- Reads the webhook as it was before this statement.
      INSERT INTO audit_log (client_id, action, resource, resource_id, role, before, after)
      SELECT w.client_id, 'webhook.deactivated', 'webhook', w.id, 'system', ${activeBefore}, ${goneAfter}
      FROM (${switchedOff(sql)}) AS w
    ), alerted AS (
      ${gone(sql, switchedOff(sql), goneMessage)}
    ), exhausted AS (
      ${exhausted(sql, ended(sql))}
    )
  `
