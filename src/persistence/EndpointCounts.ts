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
 * The CTEs from `tally` to `counted`, the last one left open: they read `recorded` of the statement that they are part of.
 *
 * Of a CTE Postgres expects one row, and joins two of them row by row: a batch of 1,000 outcomes would cost it a million
 * comparisons for each join. So there are none.
 */
export const endpointCounts = (sql: SqlClient): Fragment =>
  sql`
    tally AS (
      SELECT webhook_id, max(last_success) AS last_success,
        count(*) FILTER (WHERE result = 'success')::int AS successes,
        count(*) FILTER (WHERE is_failure)::int AS failures,
        -- Failures in a row at the end of the batch, and of which class the last is.
        count(*) FILTER (WHERE is_failure AND position > coalesce(last_success, 0))::int AS in_a_row,
        (array_agg(error_class ORDER BY position DESC)
          FILTER (WHERE is_failure AND position > coalesce(last_success, 0)))[1] AS error_class,
        coalesce(sum(duration_ms) FILTER (WHERE counted), 0) AS duration_ms,
        max(certificate_expires_at) AS certificate_expires_at,
        bool_or(error_class = 'http_410') AS gone
      FROM (
        SELECT webhook_id, position, result, error_class, duration_ms, counted, certificate_expires_at,
          result <> 'success' AND counted AS is_failure,
          max(position) FILTER (WHERE result = 'success') OVER (PARTITION BY webhook_id) AS last_success
        FROM recorded
      ) AS one
      GROUP BY webhook_id
    ), locked AS MATERIALIZED (
      -- In one order, so that no two nodes wait for each other.
      SELECT id FROM webhooks WHERE id = ANY(ARRAY(SELECT webhook_id FROM tally)) ORDER BY id FOR NO KEY UPDATE
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
        window_started_at = CASE WHEN ${isFresh(sql)} THEN now() ELSE w.window_started_at END,
        window_attempts = CASE WHEN ${isFresh(sql)} THEN 0 ELSE w.window_attempts END + t.successes + t.failures,
        window_failures = CASE WHEN ${isFresh(sql)} THEN 0 ELSE w.window_failures END + t.failures,
        window_duration_ms = CASE WHEN ${isFresh(sql)} THEN 0 ELSE w.window_duration_ms END + t.duration_ms,
        last_successful_delivery_at = CASE WHEN t.last_success IS NULL THEN w.last_successful_delivery_at ELSE now() END,
        last_failure_at = CASE WHEN t.failures = 0 THEN w.last_failure_at ELSE now() END,
        certificate_expires_at = coalesce(to_timestamp(t.certificate_expires_at / 1000), w.certificate_expires_at),
        deactivated_at = CASE WHEN w.is_active AND t.gone THEN now() ELSE w.deactivated_at END,
        is_active = w.is_active AND NOT coalesce(t.gone, false),
        deactivation_reason = CASE WHEN w.is_active AND t.gone THEN 'gone' ELSE w.deactivation_reason END
      FROM tally t
      -- They are locked before the first is changed.
      WHERE w.id = t.webhook_id AND (SELECT count(*) FROM locked) > 0
      RETURNING w.id AS webhook_id, w.url, w.circuit, w.circuit_openings, w.circuit_ramp, w.circuit_ramp_successes,
        w.circuit_version, w.failure_count, w.window_attempts, w.window_failures, t.successes, t.failures,
        CASE WHEN w.circuit = 'half_open' THEN (
          SELECT bool_and(r.result = 'success') FROM recorded r
          WHERE r.webhook_id = w.id AND r.lease_token = w.circuit_probe AND r.counted
        ) END AS probe_succeeded
  `

/** Whether the minute over which rates are taken is over. */
const isFresh = (sql: SqlClient): Fragment => sql`w.window_started_at < now() - make_interval(secs => ${windowSeconds})`
