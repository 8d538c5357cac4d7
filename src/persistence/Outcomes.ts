/**
 * What came of attempts: history row, delivery and webhook counters, for a whole batch in one statement. An outcome whose
 * lease no longer stands writes nothing anywhere.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Fragment } from "@effect/sql/Statement"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Exchange } from "../domain/Attempt.ts"
import type { AttemptResult, DeliveryStatus } from "../domain/Delivery.ts"
import type { ErrorClass } from "../domain/DeliveryError.ts"
import { type AttemptId, type DeliveryId, toUuid } from "../domain/Ids.ts"
import { DeliveryUuid } from "./Columns.ts"

export interface Outcome {
  readonly attemptId: AttemptId
  readonly deliveryId: DeliveryId
  /** The lease under which the attempt ran. */
  readonly leaseToken: string
  readonly result: Exclude<AttemptResult, "outcome_unknown">
  readonly status: Exclude<DeliveryStatus, "pending">
  /** Milliseconds until the next attempt; null where none follows. */
  readonly delayMs: number | null
  /** Whether the attempt counts against the webhook's `retry_count` and its failures. */
  readonly charged: boolean
  readonly errorClass: ErrorClass | null
  readonly errorMessage: string | null
  readonly exchange: Exchange
}

const sampleLengthMax = 1_000

const columns = (sql: SqlClient, outcomes: ReadonlyArray<Outcome>): Fragment =>
  sql`unnest(
    ${outcomes.map((o) => toUuid(o.attemptId))}::uuid[],
    ${outcomes.map((o) => toUuid(o.deliveryId))}::uuid[],
    ${outcomes.map((o) => o.leaseToken)}::uuid[],
    ${outcomes.map((o) => o.result)}::text[],
    ${outcomes.map((o) => o.status)}::text[],
    ${outcomes.map((o) => o.delayMs)}::bigint[],
    ${outcomes.map((o) => o.charged)}::boolean[],
    ${outcomes.map((o) => o.errorClass)}::text[],
    ${outcomes.map((o) => o.errorMessage)}::text[],
    ${outcomes.map((o) => o.exchange.startedAt)}::float8[],
    ${outcomes.map((o) => o.exchange.durationMs)}::int[],
    ${outcomes.map((o) => o.exchange.peerAddress)}::text[],
    ${outcomes.map((o) => o.exchange.status)}::int[],
    ${outcomes.map((o) => JSON.stringify(o.exchange.headers))}::json[],
    ${outcomes.map((o) => Buffer.from(o.exchange.body))}::bytea[],
    ${outcomes.map((o) => sample(o.exchange.body))}::text[],
    ${outcomes.map((o) => o.exchange.bodyTruncated)}::boolean[],
    ${outcomes.map((o) => o.exchange.bodyError)}::text[]
  ) WITH ORDINALITY AS t (
    attempt_id, delivery_id, lease_token, result, status, delay_ms, charged, error_class, error_message, started_at,
    duration_ms, peer_address, response_code, response_headers, response_body, body_sample, response_truncated,
    response_error, position)`

/** The beginning of a body as text that Postgres takes, whatever bytes came. */
const sample = (body: Uint8Array): string =>
  Buffer.from(body.subarray(0, sampleLengthMax)).toString("utf8").replaceAll("\0", "\uFFFD")

const activeBefore = "{\"deactivation_reason\": null, \"is_active\": true}"
const goneAfter = "{\"deactivation_reason\": \"gone\", \"is_active\": false}"

/** Answers the deliveries whose lease still stood. */
export const record = (sql: SqlClient, outcomes: ReadonlyArray<Outcome>) =>
  sql`
    WITH outcome AS (
      SELECT * FROM ${columns(sql, outcomes)}
    ), recorded AS (
      UPDATE deliveries d SET
        status = o.status,
        attempt_count = d.attempt_count + 1,
        charged_count = d.charged_count + o.charged::int,
        next_retry_at = CASE WHEN o.status = 'failed_retryable' THEN now() + o.delay_ms * interval '1 millisecond' END,
        lease_token = NULL,
        leased_until = NULL,
        last_response_code = o.response_code,
        last_response_body_sample = o.body_sample,
        error_class = o.error_class,
        error_message = o.error_message,
        delivered_at = CASE WHEN o.status = 'delivered' THEN now() END
      FROM outcome o
      WHERE d.id = o.delivery_id AND d.lease_token = o.lease_token
      RETURNING d.id, d.webhook_id, d.attempt_count, o.position
    ), history AS (
      INSERT INTO attempts (
        id, delivery_id, number, result, error_class, error_message, started_at, duration_ms, peer_address,
        response_code, response_headers, response_body, response_truncated, response_error)
      SELECT o.attempt_id, o.delivery_id, r.attempt_count, o.result, o.error_class, o.error_message, to_timestamp(o.started_at / 1000),
        o.duration_ms, o.peer_address, o.response_code, o.response_headers, o.response_body, o.response_truncated,
        o.response_error
      FROM recorded r JOIN outcome o USING (position)
    ), tally AS (
      SELECT r.webhook_id,
        max(o.position) FILTER (WHERE o.result = 'success') AS last_success,
        max(o.position) FILTER (WHERE o.result <> 'success' AND o.charged) AS last_failure,
        bool_or(o.error_class = 'http_410') AS gone
      FROM recorded r JOIN outcome o USING (position) GROUP BY r.webhook_id
    ), counted AS (
      UPDATE webhooks w SET
        failure_count = CASE WHEN t.last_success IS NULL THEN w.failure_count ELSE 0 END + (
          SELECT count(*) FROM recorded r JOIN outcome o USING (position)
          WHERE r.webhook_id = w.id AND o.result <> 'success' AND o.charged
            AND o.position > coalesce(t.last_success, 0)),
        last_successful_delivery_at = CASE WHEN t.last_success IS NULL THEN w.last_successful_delivery_at ELSE now() END,
        last_failure_at = CASE WHEN t.last_failure IS NULL THEN w.last_failure_at ELSE now() END,
        is_active = w.is_active AND NOT coalesce(t.gone, false),
        deactivation_reason = CASE WHEN w.is_active AND t.gone THEN 'gone' ELSE w.deactivation_reason END
      FROM tally t WHERE w.id = t.webhook_id
    ), audited AS (
      -- Reads the webhook as it was before this statement.
      INSERT INTO audit_log (client_id, action, resource, resource_id, role, before, after)
      SELECT w.client_id, 'webhook.deactivated', 'webhook', w.id, 'system', ${activeBefore}, ${goneAfter}
      FROM tally t JOIN webhooks w ON w.id = t.webhook_id WHERE t.gone AND w.is_active
    )
    SELECT id FROM recorded
  `.pipe(Effect.flatMap(decode), Effect.map((rows) => new Set(rows.map(({ id }) => id))))

const decode = Schema.decodeUnknown(Schema.Array(Schema.Struct({ id: DeliveryUuid })))
