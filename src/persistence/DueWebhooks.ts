/**
 * The walk: which webhooks have something due that nothing holds, a page at a time, so that none is passed over however
 * many there are.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { WebhookId } from "../domain/Ids.ts"
import { WebhookUuid } from "./Columns.ts"

export interface DueWebhooks {
  readonly webhooks: ReadonlyArray<WebhookId>
  /** The walk goes on after this one; null: it was at the end. */
  readonly next: WebhookId | null
}

/** Webhooks visited by one step, due or not: as many as take less time than whoever publishes meanwhile would notice. */
const visitsMax = 100

const visit = (sql: SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Struct({ after: Schema.NullOr(WebhookUuid), visits: Schema.Int }),
    Result: Schema.Struct({ webhookId: WebhookUuid, due: Schema.Boolean }),
    execute: ({ after, visits }) =>
      sql`
        /* one plan */
        WITH RECURSIVE walk AS (
          -- From webhook to webhook through the index, never row by row through one webhook's backlog.
          (SELECT webhook_id FROM deliveries
           WHERE next_retry_at IS NOT NULL AND lease_token IS NULL
             AND (${after}::uuid IS NULL OR webhook_id > ${after})
           ORDER BY webhook_id LIMIT 1)
          UNION ALL
          SELECT (SELECT d.webhook_id FROM deliveries d
                  WHERE d.next_retry_at IS NOT NULL AND d.lease_token IS NULL
                    AND d.webhook_id > walk.webhook_id
                  ORDER BY d.webhook_id LIMIT 1)
          FROM walk WHERE walk.webhook_id IS NOT NULL
        ), visited AS (
          SELECT webhook_id FROM walk WHERE webhook_id IS NOT NULL LIMIT ${visits}
        )
        SELECT webhook_id, webhook_hold(w) IS NULL AND EXISTS (
          SELECT FROM deliveries d
          WHERE d.webhook_id = v.webhook_id AND d.next_retry_at <= now() AND d.lease_token IS NULL
        ) AS due
        FROM visited v JOIN webhooks w ON w.id = v.webhook_id ORDER BY webhook_id
      `
  })

export const dueWebhooks = (sql: SqlClient) => {
  const step = visit(sql)
  return (after: WebhookId | null, visits = visitsMax) =>
    Effect.map(step({ after, visits }), (visited): DueWebhooks => ({
      webhooks: visited.filter(({ due }) => due).map(({ webhookId }) => webhookId),
      next: visited.length < visits ? null : visited.at(-1)?.webhookId ?? null
    }))
}
