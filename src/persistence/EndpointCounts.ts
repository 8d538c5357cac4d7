/** What outcomes tell of the endpoints they came from: the webhooks' counters, and what their circuits are decided by. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Fragment } from "@effect/sql/Statement"
import * as Schema from "effect/Schema"
import { Circuit } from "../domain/Circuit.ts"
import { WebhookUuid } from "./Columns.ts"

/** Seconds over which an endpoint's failure rate and latency are taken. */
const windowSeconds = 60

/** Of the endpoints whose circuits have something to decide on. */
export const Endpoint = Schema.Struct({
  webhookId: WebhookUuid,
  url: Schema.String,
  circuit: Circuit,
  /** Which of the circuit's states that is. */
  circuitVersion: Schema.Int,
  /** Of these outcomes. */
  successes: Schema.Int,
  failures: Schema.Int,
  /** With these outcomes: failures in a row, and what the present minute has seen. */
  failureCount: Schema.Int,
  windowAttempts: Schema.Int,
  windowFailures: Schema.Int,
  /** Of the probe that a half-open circuit waits for; null where none of these outcomes is its, or tells of the endpoint. */
  probeSucceeded: Schema.NullOr(Schema.Boolean)
})
export type Endpoint = typeof Endpoint.Type

/**
 * The CTEs from `tally` to `counted`, the last one left open: they read `recorded` and `outcome` of the statement that they
 * are part of.
 */
export const endpointCounts = (sql: SqlClient): Fragment =>
  sql`
    tally AS (
      SELECT r.webhook_id,
        max(o.position) FILTER (WHERE o.result = 'success') AS last_success,
        count(*) FILTER (WHERE o.result = 'success')::int AS successes,
        count(*) FILTER (WHERE o.result <> 'success' AND o.counted)::int AS failures,
        coalesce(sum(o.duration_ms) FILTER (WHERE o.counted), 0) AS duration_ms,
        max(o.certificate_expires_at) AS certificate_expires_at,
        bool_or(o.error_class = 'http_410') AS gone
      FROM recorded r JOIN outcome o USING (position) GROUP BY r.webhook_id
    ), tail AS MATERIALIZED (
      -- Failures in a row at the end of the batch.
      SELECT r.webhook_id, count(*)::int AS failures, (array_agg(o.error_class ORDER BY o.position DESC))[1] AS error_class
      FROM recorded r JOIN outcome o USING (position) JOIN tally t ON t.webhook_id = r.webhook_id
      WHERE o.result <> 'success' AND o.counted AND o.position > coalesce(t.last_success, 0)
      GROUP BY r.webhook_id
    ), locked AS MATERIALIZED (
      -- In one order, so that no two nodes wait for each other.
      SELECT id, window_started_at FROM webhooks WHERE id IN (SELECT webhook_id FROM tally) ORDER BY id FOR NO KEY UPDATE
    ), counted AS (
      UPDATE webhooks w SET
        failure_count = CASE WHEN t.last_success IS NULL THEN w.failure_count ELSE 0 END + t.in_a_row,
        failing_since = CASE
          WHEN t.in_a_row = 0 AND t.last_success IS NOT NULL THEN NULL
          WHEN t.in_a_row > 0 AND (t.last_success IS NOT NULL OR w.failing_since IS NULL) THEN now()
          ELSE w.failing_since END,
        last_error_class = CASE
          WHEN t.in_a_row > 0 THEN t.error_class
          WHEN t.last_success IS NULL THEN w.last_error_class END,
        window_started_at = CASE WHEN t.is_fresh THEN now() ELSE w.window_started_at END,
        window_attempts = CASE WHEN t.is_fresh THEN 0 ELSE w.window_attempts END + t.successes + t.failures,
        window_failures = CASE WHEN t.is_fresh THEN 0 ELSE w.window_failures END + t.failures,
        window_duration_ms = CASE WHEN t.is_fresh THEN 0 ELSE w.window_duration_ms END + t.duration_ms,
        last_successful_delivery_at = CASE WHEN t.last_success IS NULL THEN w.last_successful_delivery_at ELSE now() END,
        last_failure_at = CASE WHEN t.failures = 0 THEN w.last_failure_at ELSE now() END,
        certificate_expires_at = coalesce(to_timestamp(t.certificate_expires_at / 1000), w.certificate_expires_at),
        deactivated_at = CASE WHEN w.is_active AND t.gone THEN now() ELSE w.deactivated_at END,
        is_active = w.is_active AND NOT coalesce(t.gone, false),
        deactivation_reason = CASE WHEN w.is_active AND t.gone THEN 'gone' ELSE w.deactivation_reason END
      FROM (
        SELECT t.*, coalesce(f.failures, 0) AS in_a_row, f.error_class,
          v.window_started_at < now() - make_interval(secs => ${windowSeconds}) AS is_fresh
        FROM tally t JOIN locked v ON v.id = t.webhook_id LEFT JOIN tail f ON f.webhook_id = t.webhook_id
      ) t
      WHERE w.id = t.webhook_id
      RETURNING w.id AS webhook_id, w.url, w.circuit, w.circuit_openings, w.circuit_ramp, w.circuit_ramp_successes,
        w.circuit_version, w.failure_count, w.window_attempts, w.window_failures, t.successes, t.failures,
        CASE WHEN w.circuit = 'half_open' THEN (
          SELECT bool_and(o.result = 'success') FROM recorded r JOIN outcome o USING (position)
          WHERE r.webhook_id = w.id AND o.lease_token = w.circuit_probe AND o.counted
        ) END AS probe_succeeded
  `
