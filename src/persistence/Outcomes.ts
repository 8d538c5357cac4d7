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
import type { AttemptResult, DeliveryStatus } from "../domain/Delivery.ts"
import type { ErrorClass } from "../domain/DeliveryError.ts"
import { type AttemptId, type DeliveryId, fromUuid, toUuid, type WebhookId } from "../domain/Ids.ts"
import * as AttemptCounts from "./AttemptCounts.ts"
import type { DirectQuery } from "./DirectQuery.ts"
import { Endpoint, endpointCounts } from "./EndpointCounts.ts"
import { outcomeNotices } from "./OutcomeNotices.ts"
import * as PgArray from "./PgArray.ts"

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
    ${PgArray.plain(outcomes.map((o) => toUuid(o.attemptId)))}::uuid[],
    ${PgArray.plain(outcomes.map((o) => toUuid(o.deliveryId)))}::uuid[],
    ${PgArray.plain(outcomes.map((o) => o.leaseToken))}::uuid[],
    ${PgArray.quoted(outcomes.map((o) => o.result))}::text[],
    ${PgArray.quoted(outcomes.map((o) => o.status))}::text[],
    ${PgArray.plain(outcomes.map((o) => o.delayMs))}::bigint[],
    ${PgArray.plain(outcomes.map((o) => o.charged))}::boolean[],
    ${PgArray.plain(outcomes.map((o) => o.counted))}::boolean[],
    ${PgArray.quoted(outcomes.map((o) => o.errorClass))}::text[],
    ${PgArray.quoted(outcomes.map((o) => o.errorMessage))}::text[],
    ${PgArray.plain(outcomes.map((o) => o.exchange.startedAt))}::float8[],
    ${PgArray.plain(outcomes.map((o) => o.exchange.durationMs))}::int[],
    ${PgArray.quoted(outcomes.map((o) => o.exchange.peerAddress))}::text[],
    ${PgArray.plain(outcomes.map((o) => o.exchange.status))}::int[],
    ${PgArray.quoted(outcomes.map((o) => JSON.stringify(o.exchange.headers)))}::json[],
    ${PgArray.bytes(outcomes.map((o) => o.exchange.body))}::bytea[],
    ${PgArray.quoted(outcomes.map((o) => sample(o.exchange.body)))}::text[],
    ${PgArray.plain(outcomes.map((o) => o.exchange.bodyTruncated))}::boolean[],
    ${PgArray.quoted(outcomes.map((o) => o.exchange.bodyError))}::text[],
    ${PgArray.plain(outcomes.map((o) => o.exchange.certificateExpiresAt))}::float8[]
  ) WITH ORDINALITY AS t (
    attempt_id, delivery_id, lease_token, result, status, delay_ms, charged, counted, error_class, error_message, started_at,
    duration_ms, peer_address, response_code, response_headers, response_body, body_sample, response_truncated,
    response_error, certificate_expires_at, position)`

/** The beginning of a body as text that Postgres takes, whatever bytes came. */
const sample = (body: Uint8Array): string =>
  Buffer.from(body.subarray(0, sampleLengthMax)).toString("utf8").replaceAll("\0", "\uFFFD")

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
  run: DirectQuery["Type"],
  outcomes: ReadonlyArray<Outcome>
): Effect.Effect<Recorded, SqlError | ParseError> =>
  run(sql<Row>`
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
    ), ${endpointCounts(sql)}
    ), ${outcomeNotices(sql)}
    SELECT r.id AS delivery_id,
      CASE WHEN e.webhook_id IS NOT NULL THEN json_build_object(
        'webhookId', e.webhook_id, 'url', e.url, 'successes', e.successes, 'failures', e.failures,
        'circuitVersion', e.circuit_version, 'probeSucceeded', e.probe_succeeded, 'failureCount', e.failure_count, 'windowAttempts', e.window_attempts, 'windowFailures', e.window_failures,
        'circuit', json_build_object('state', e.circuit, 'openings', e.circuit_openings, 'ramp', e.circuit_ramp,
          'rampSuccesses', e.circuit_ramp_successes)) END AS endpoint,
      (SELECT count(*) FROM alerted) + (SELECT count(*) FROM exhausted) AS told
    FROM recorded r
    LEFT JOIN counted e ON e.webhook_id = r.webhook_id AND (e.failures > 0 OR e.circuit <> 'closed' OR e.circuit_ramp IS NOT NULL)
  `).pipe(Effect.flatMap(recordedOf))

interface Row {
  /** A UUID. Nothing in it comes from outside, and there is one for every attempt. */
  readonly deliveryId: string
  /** Null where the circuit of its webhook has nothing to decide on. */
  readonly endpoint: unknown
}

const decodeEndpoint = Schema.decodeUnknown(Endpoint)

/** An endpoint stands at each of its deliveries. */
const recordedOf = (rows: ReadonlyArray<Row>): Effect.Effect<Recorded, ParseError> =>
  Effect.gen(function*() {
    const endpoints = new Map<WebhookId, Endpoint>()
    for (const { endpoint } of rows) {
      if (endpoint === null) continue
      const decoded = yield* decodeEndpoint(endpoint)
      endpoints.set(decoded.webhookId, decoded)
    }
    return {
      deliveries: new Set(rows.map(({ deliveryId }) => fromUuid("DeliveryId", deliveryId))),
      endpoints: Array.from(endpoints.values())
    }
  })
