/**
 * What came of attempts: history row, delivery and webhook counters, for a whole batch in one statement. An outcome whose
 * lease no longer stands writes nothing anywhere. What it tells of circuits is answered, for Circuits to decide on.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type { Fragment } from "@effect/sql/Statement"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import type { ParseError } from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { Exchange } from "../domain/Attempt.ts"
import type { AttemptResult, DeliveryStatus } from "../domain/Delivery.ts"
import type { ErrorClass } from "../domain/DeliveryError.ts"
import { type AttemptId, type DeliveryId, toUuid } from "../domain/Ids.ts"
import * as AttemptCounts from "./AttemptCounts.ts"
import { DeliveryUuid } from "./Columns.ts"
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

const columns = (sql: SqlClient, outcomes: ReadonlyArray<Outcome>, uuids: ReadonlyArray<string>): Fragment =>
  sql`unnest(
    ${PgArray.plain(outcomes, (o) => toUuid(o.attemptId))}::uuid[],
    ${PgArray.plain(uuids, identity)}::uuid[],
    ${PgArray.plain(outcomes, (o) => o.leaseToken)}::uuid[],
    ${PgArray.plain(outcomes, (o) => o.result)}::text[],
    ${PgArray.plain(outcomes, (o) => o.status)}::text[],
    ${PgArray.plain(outcomes, (o) => o.delayMs)}::bigint[],
    ${PgArray.plain(outcomes, (o) => o.charged)}::boolean[],
    ${PgArray.plain(outcomes, (o) => o.counted)}::boolean[],
    ${PgArray.plain(outcomes, (o) => o.errorClass)}::text[],
    ${PgArray.quoted(outcomes, (o) => o.errorMessage)}::text[],
    ${PgArray.plain(outcomes, (o) => o.exchange.startedAt)}::float8[],
    ${PgArray.plain(outcomes, (o) => o.exchange.durationMs)}::int[],
    ${PgArray.quoted(outcomes, (o) => o.exchange.peerAddress)}::text[],
    ${PgArray.plain(outcomes, (o) => o.exchange.status)}::int[],
    ${PgArray.joined(sql, outcomes, (o) => JSON.stringify(o.exchange.headers))}::json[],
    ${PgArray.bytes(outcomes, (o) => o.exchange.body)}::bytea[],
    ${PgArray.quoted(outcomes, (o) => sample(o.exchange.body))}::text[],
    ${PgArray.plain(outcomes, (o) => o.exchange.bodyTruncated)}::boolean[],
    ${PgArray.quoted(outcomes, (o) => o.exchange.bodyError)}::text[],
    ${PgArray.plain(outcomes, (o) => o.exchange.certificateExpiresAt)}::float8[]
  ) WITH ORDINALITY AS o (
    attempt_id, delivery_id, lease_token, result, status, delay_ms, charged, counted, error_class, error_message, started_at,
    duration_ms, peer_address, response_code, response_headers, response_body, body_sample, response_truncated,
    response_error, certificate_expires_at, position)`

/** The beginning of a body as text that Postgres takes, whatever bytes came. */
const sample = (body: Uint8Array): string =>
  body.length === 0 ? "" : Buffer.from(body.subarray(0, sampleLengthMax)).toString("utf8").replaceAll("\0", "\uFFFD")

/**
 * Has the deliveries found by their ids. The ends of the list say in which partitions to look, which the list itself does not; and
 * `IS NOT DISTINCT FROM` keeps the planner from `deliveries_leased`, which "=" would offer it: besides what is leased, that
 * index holds what was, until it is vacuumed.
 */
const isOneOf = (sql: SqlClient, uuids: ReadonlyArray<string>): Fragment => {
  const ids = uuids.toSorted()
  return sql`d.id = ANY(${PgArray.plain(ids, identity)}::uuid[]) AND d.id BETWEEN ${ids[0]}::uuid AND ${
    ids.at(-1)
  }::uuid`
}

/** Of each outcome whose lease still stood, what its webhook's stats count. */
const made = (sql: SqlClient): Fragment =>
  sql`
    SELECT webhook_id, attempt_count AS number, error_class, duration_ms, status = 'failed_retryable' AS rescheduled
    FROM recorded
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
): Effect.Effect<Recorded, SqlError | ParseError> => {
  const uuids = outcomes.map(({ deliveryId }) => toUuid(deliveryId))
  return run(sql`
    /* one plan */
    WITH recorded AS (
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
      FROM ${columns(sql, outcomes, uuids)}
      WHERE d.id = o.delivery_id AND d.lease_token IS NOT DISTINCT FROM o.lease_token AND ${isOneOf(sql, uuids)}
      RETURNING d.webhook_id, d.client_id, d.event_id, d.event_type, d.attempt_count, o.*
    ), history AS (
      INSERT INTO attempts (
        id, delivery_id, number, result, error_class, error_message, started_at, duration_ms, peer_address,
        response_code, response_headers, response_body, response_truncated, response_error)
      SELECT attempt_id, delivery_id, attempt_count, result, error_class, error_message, to_timestamp(started_at / 1000),
        duration_ms, peer_address, response_code, response_headers, response_body, response_truncated, response_error
      FROM recorded
    ), measured AS (
      ${AttemptCounts.added(sql, made(sql))}
    ), ${endpointCounts(sql)}
    ), ${outcomeNotices(sql)}
    SELECT
      -- Only where some are missing: mostly there are none, and a row of each would cost what writing it does.
      CASE WHEN (SELECT count(*) FROM recorded) < ${outcomes.length}
        THEN (SELECT coalesce(array_agg(delivery_id), '{}') FROM recorded) END AS deliveries,
      -- Webhooks are locked before alerts are raised, as everywhere: this is asked for first.
      (SELECT json_agg(json_build_object(
        'webhookId', webhook_id, 'url', url, 'successes', successes, 'failures', failures,
        'circuitVersion', circuit_version, 'probeSucceeded', probe_succeeded, 'failureCount', failure_count,
        'windowAttempts', window_attempts, 'windowFailures', window_failures,
        'circuit', json_build_object('state', circuit, 'openings', circuit_openings, 'ramp', circuit_ramp,
          'rampSuccesses', circuit_ramp_successes)))
      FROM counted WHERE failures > 0 OR circuit <> 'closed' OR circuit_ramp IS NOT NULL) AS endpoints,
      (SELECT count(*) FROM alerted) + (SELECT count(*) FROM exhausted) AS told
  `).pipe(Effect.flatMap(decode), Effect.map(([row]) => recordedOf(outcomes, row)))
}

const Row = Schema.Struct({
  /** Those whose lease still stood; null where all did. */
  deliveries: Schema.NullOr(Schema.Array(DeliveryUuid)),
  /** Whose circuits have something to decide on; null where there are none. */
  endpoints: Schema.NullOr(Schema.Array(Endpoint))
})

const decode = Schema.decodeUnknown(Schema.Tuple(Row))

const recordedOf = (outcomes: ReadonlyArray<Outcome>, { deliveries, endpoints }: typeof Row.Type): Recorded => ({
  deliveries: new Set(deliveries ?? outcomes.map(({ deliveryId }) => deliveryId)),
  endpoints: endpoints ?? []
})
