/**
 * What came of attempts: history row, delivery and webhook counters, for a whole batch in one statement. An outcome whose
 * lease no longer stands writes nothing anywhere. What it tells of circuits is answered, for Circuits to decide on.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type { Fragment } from "@effect/sql/Statement"
import * as Effect from "effect/Effect"
import type { ParseError } from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { Exchange } from "../domain/Attempt.ts"
import { Circuit } from "../domain/Circuit.ts"
import type { AttemptResult, DeliveryStatus } from "../domain/Delivery.ts"
import type { ErrorClass } from "../domain/DeliveryError.ts"
import { alertType, exhaustedType } from "../domain/EventType.ts"
import { type AttemptId, type DeliveryId, toUuid } from "../domain/Ids.ts"
import * as AttemptCounts from "./AttemptCounts.ts"
import { DeliveryUuid, WebhookUuid } from "./Columns.ts"

export interface Outcome {
  readonly attemptId: AttemptId
  readonly deliveryId: DeliveryId
  /** The lease under which the attempt ran. */
  readonly leaseToken: string
  readonly result: Exclude<AttemptResult, "outcome_unknown">
  readonly status: Exclude<DeliveryStatus, "pending">
  /** Milliseconds until the next attempt; null where none follows, or where the delivery keeps its place in the queue. */
  readonly delayMs: number | null
  /** Whether the attempt counts against the webhook's `retry_count`. */
  readonly charged: boolean
  /** Whether it tells of the endpoint: counts among its failures, or ends them. */
  readonly counted: boolean
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
    ${outcomes.map((o) => o.counted)}::boolean[],
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
    ${outcomes.map((o) => o.exchange.bodyError)}::text[],
    ${outcomes.map((o) => o.exchange.certificateExpiresAt)}::float8[]
  ) WITH ORDINALITY AS t (
    attempt_id, delivery_id, lease_token, result, status, delay_ms, charged, counted, error_class, error_message, started_at,
    duration_ms, peer_address, response_code, response_headers, response_body, body_sample, response_truncated,
    response_error, certificate_expires_at, position)`

/** The beginning of a body as text that Postgres takes, whatever bytes came. */
const sample = (body: Uint8Array): string =>
  Buffer.from(body.subarray(0, sampleLengthMax)).toString("utf8").replaceAll("\0", "\uFFFD")

const activeBefore = "{\"deactivation_reason\": null, \"is_active\": true}"
const goneAfter = "{\"deactivation_reason\": \"gone\", \"is_active\": false}"
const goneMessage =
  "The endpoint answered 410 Gone, so the webhook was switched off. Switch it on again if that was a mistake."

/** Seconds over which an endpoint's failure rate and latency are taken. */
const windowSeconds = 60

/** Of the endpoints whose circuits have something to decide on. */
const Endpoint = Schema.Struct({
  webhookId: WebhookUuid,
  url: Schema.String,
  circuit: Circuit,
  /** Of these outcomes. */
  successes: Schema.Int,
  failures: Schema.Int,
  /** With these outcomes: failures in a row, and what the present minute has seen. */
  failureCount: Schema.Int,
  windowAttempts: Schema.Int,
  windowFailures: Schema.Int
})
export type Endpoint = typeof Endpoint.Type

/** Of each outcome whose lease still stood, what its webhook's stats count. */
const made = (sql: SqlClient): Fragment =>
  sql`
    SELECT r.webhook_id, r.attempt_count AS number, o.error_class, o.duration_ms, o.status = 'failed_retryable' AS rescheduled
    FROM recorded r JOIN outcome o USING (position)
  `

/** What was written. */
export interface Recorded {
  /** Deliveries whose lease still stood. */
  readonly deliveries: ReadonlySet<DeliveryId>
  readonly endpoints: ReadonlyArray<Endpoint>
}

export const record = (
  sql: SqlClient,
  outcomes: ReadonlyArray<Outcome>
): Effect.Effect<Recorded, SqlError | ParseError> =>
  sql`
    WITH outcome AS (
      SELECT * FROM ${columns(sql, outcomes)}
    ), recorded AS (
      UPDATE deliveries d SET
        status = o.status,
        attempt_count = d.attempt_count + 1,
        charged_count = d.charged_count + o.charged::int,
        unknown_count = 0,
        next_retry_at = CASE WHEN o.status = 'failed_retryable'
          THEN coalesce(now() + o.delay_ms * interval '1 millisecond', d.next_retry_at) END,
        lease_token = NULL,
        leased_until = NULL,
        last_response_code = o.response_code,
        last_response_body_sample = o.body_sample,
        error_class = o.error_class,
        error_message = o.error_message,
        delivered_at = CASE WHEN o.status = 'delivered' THEN now() END
      FROM outcome o
      WHERE d.id = o.delivery_id AND d.lease_token = o.lease_token
      RETURNING d.id, d.webhook_id, d.client_id, d.event_id, d.event_type, d.attempt_count, o.position
    ), history AS (
      INSERT INTO attempts (
        id, delivery_id, number, result, error_class, error_message, started_at, duration_ms, peer_address,
        response_code, response_headers, response_body, response_truncated, response_error)
      SELECT o.attempt_id, o.delivery_id, r.attempt_count, o.result, o.error_class, o.error_message, to_timestamp(o.started_at / 1000),
        o.duration_ms, o.peer_address, o.response_code, o.response_headers, o.response_body, o.response_truncated,
        o.response_error
      FROM recorded r JOIN outcome o USING (position)
    ), measured AS (
      ${AttemptCounts.added(sql, made(sql))}
    ), tally AS (
      SELECT r.webhook_id,
        max(o.position) FILTER (WHERE o.result = 'success') AS last_success,
        count(*) FILTER (WHERE o.result = 'success')::int AS successes,
        count(*) FILTER (WHERE o.result <> 'success' AND o.counted)::int AS failures,
        coalesce(sum(o.duration_ms) FILTER (WHERE o.counted), 0) AS duration_ms,
        max(o.certificate_expires_at) AS certificate_expires_at,
        bool_or(o.error_class = 'http_410') AS gone
      FROM recorded r JOIN outcome o USING (position) GROUP BY r.webhook_id
    ), tail AS (
      -- Failures in a row at the end of the batch.
      SELECT r.webhook_id, count(*)::int AS failures, (array_agg(o.error_class ORDER BY o.position DESC))[1] AS error_class
      FROM recorded r JOIN outcome o USING (position) JOIN tally t ON t.webhook_id = r.webhook_id
      WHERE o.result <> 'success' AND o.counted AND o.position > coalesce(t.last_success, 0)
      GROUP BY r.webhook_id
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
        FROM tally t JOIN webhooks v ON v.id = t.webhook_id LEFT JOIN tail f ON f.webhook_id = t.webhook_id
      ) t
      WHERE w.id = t.webhook_id
      RETURNING w.id AS webhook_id, w.url, w.circuit, w.circuit_openings, w.circuit_ramp, w.circuit_ramp_successes,
        w.failure_count, w.window_attempts, w.window_failures, t.successes, t.failures
    ), audited AS (
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
    SELECT r.id AS delivery_id,
      CASE WHEN e.webhook_id IS NOT NULL THEN json_build_object(
        'webhookId', e.webhook_id, 'url', e.url, 'successes', e.successes, 'failures', e.failures,
        'failureCount', e.failure_count, 'windowAttempts', e.window_attempts, 'windowFailures', e.window_failures,
        'circuit', json_build_object('state', e.circuit, 'openings', e.circuit_openings, 'ramp', e.circuit_ramp,
          'rampSuccesses', e.circuit_ramp_successes)) END AS endpoint,
      (SELECT count(*) FROM alerted) + (SELECT count(*) FROM exhausted) AS told
    FROM recorded r
    LEFT JOIN counted e ON e.webhook_id = r.webhook_id AND (e.failures > 0 OR e.circuit <> 'closed' OR e.circuit_ramp IS NOT NULL)
  `.pipe(Effect.flatMap(decode), Effect.map(recordedOf))

const notices = [exhaustedType, alertType]

const decode = Schema.decodeUnknown(
  Schema.Array(Schema.Struct({ deliveryId: DeliveryUuid, endpoint: Schema.NullOr(Endpoint) }))
)

/** An endpoint stands at each of its deliveries. */
const recordedOf = (
  rows: ReadonlyArray<{ readonly deliveryId: DeliveryId; readonly endpoint: Endpoint | null }>
): Recorded => ({
  deliveries: new Set(rows.map(({ deliveryId }) => deliveryId)),
  endpoints: Array.from(
    new Map(rows.flatMap(({ endpoint }) => endpoint === null ? [] : [[endpoint.webhookId, endpoint]])).values()
  )
})
