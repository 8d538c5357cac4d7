/**
 * Adds attempts to their webhooks' stats. The statement that writes them has this as one of its CTEs, so that what is
 * counted is what was written.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Fragment } from "@effect/sql/Statement"
import { bounds } from "../domain/Latency.ts"

/** Minutes whose attempts are one row of each webhook and outcome, until they are added to their hour. */
export const minutesOfRow = 5

/**
 * `made` selects `webhook_id`, `number`, `error_class` (null of a success), `duration_ms` (null where it is unknown) and
 * `rescheduled` (whether another attempt was to follow) of each attempt. The rows are locked in one order, whoever writes.
 */
export const added = (sql: SqlClient, made: Fragment): Fragment =>
  sql`
    INSERT INTO webhook_stats AS s (webhook_id, at, outcome, attempts, retries, rescheduled, latencies)
    SELECT webhook_id, date_bin(make_interval(mins => ${minutesOfRow}), now(), to_timestamp(0)), outcome,
      sum(attempts), sum(retries), sum(rescheduled),
      sum_counts(CASE WHEN class IS NULL THEN '{}' ELSE array_fill(0, ARRAY[class]) || attempts END)
    FROM (
      SELECT webhook_id, coalesce(error_class, 'success') AS outcome, width_bucket(duration_ms, ${bounds}::int[]) AS class,
        count(*)::int AS attempts, count(*) FILTER (WHERE number > 1) AS retries,
        count(*) FILTER (WHERE rescheduled) AS rescheduled
      FROM (${made}) AS made GROUP BY 1, 2, 3
    ) AS counted
    GROUP BY webhook_id, outcome ORDER BY webhook_id, outcome
    ON CONFLICT (webhook_id, at, outcome) DO UPDATE SET
      attempts = s.attempts + excluded.attempts, retries = s.retries + excluded.retries,
      rescheduled = s.rescheduled + excluded.rescheduled, latencies = add_counts(s.latencies, excluded.latencies)
  `
