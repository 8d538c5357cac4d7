/** Leases: prolonged while an attempt is under way, given back where none was made, ended where a node died. */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type DeliveryId, toUuid } from "../domain/Ids.ts"
import * as AttemptCounts from "./AttemptCounts.ts"
import { DeliveryUuid } from "./Columns.ts"
import { exhausted } from "./ExhaustedNotice.ts"

/** What names a lease. */
export interface Lease {
  readonly id: DeliveryId
  readonly leaseToken: string
}

/** Rows of one round; what is left over waits for the next. */
const roundMax = 1_000

/** Nodes that end with the same delivery in hand, one after the other, until it is taken for what ends them. */
export const unknownMax = 3

const outcomeUnknown = "The node that was to send it ended before it could tell what came of it; it is sent again."
const poison =
  `${unknownMax} nodes in a row ended while they were sending it; it is set aside. Retry it by hand if it is not the cause.`

const named = (sql: SqlClient, leases: ReadonlyArray<Lease>) =>
  sql`unnest(
    ${leases.map(({ id }) => toUuid(id))}::uuid[], ${leases.map(({ leaseToken }) => leaseToken)}::uuid[]
  ) AS l (id, token)`

/** Gives back what was claimed and never sent. */
export const release = (sql: SqlClient, leases: ReadonlyArray<Lease>) =>
  sql`
    UPDATE deliveries d SET lease_token = NULL, leased_until = NULL
    FROM ${named(sql, leases)}
    WHERE d.id = l.id AND d.lease_token = l.token
  `

/** Answers those that still stood and now last so many seconds from the database's now on. */
export const prolong = (sql: SqlClient, leases: ReadonlyArray<Lease>, seconds: number) =>
  sql`
    UPDATE deliveries d SET leased_until = now() + make_interval(secs => ${seconds})
    FROM ${named(sql, leases)}
    WHERE d.id = l.id AND d.lease_token = l.token
    RETURNING d.id
  `.pipe(Effect.flatMap(decode), Effect.map((rows) => new Set(rows.map(({ id }) => id))))

const decode = Schema.decodeUnknown(Schema.Array(Schema.Struct({ id: DeliveryUuid })))

const DatabaseTime = Schema.Struct({
  /** Unix milliseconds. */
  nowMs: Schema.Number,
  /** By how much the clock was put back since it was last looked at; 0 where it was not. */
  putBackSeconds: Schema.Number
})
export type DatabaseTime = typeof DatabaseTime.Type

/** Looks at the database's clock. Where it was put back, what waits until a moment moves with it. */
export const followClock = (sql: SqlClient) =>
  sql`SELECT follow_clock() AS put_back_seconds, extract(epoch FROM clock_timestamp())::float8 * 1000 AS now_ms`.pipe(
    Effect.flatMap(Schema.decodeUnknown(Schema.Tuple(DatabaseTime))),
    Effect.map(([time]) => time)
  )

export interface Reclaimed {
  /** Leases that had ended. */
  readonly ended: number
  /** Of their deliveries, those that are not sent again; notices of them are in the outbox. */
  readonly setAside: number
}

/** Nobody knows how long they took. */
const made = (sql: SqlClient) =>
  sql`
    SELECT webhook_id, attempt_count AS number, 'outcome_unknown' AS error_class, NULL::int AS duration_ms,
      NOT poison AS rescheduled
    FROM reclaimed
  `

/**
 * A lease that ran out means that its node died: an attempt of unknown outcome is written and the delivery is due again,
 * or set aside after too many of them in a row. What was in hand together is spread out, so that a delivery that ends its
 * node does not do so each time beside the same others, and they are not taken for it.
 */
export const reclaimExpired = (sql: SqlClient) =>
  sql`
    /* one plan */
    WITH expired AS (
      SELECT id, unknown_count + 1 >= ${unknownMax} AS poison FROM deliveries
      WHERE lease_token IS NOT NULL AND leased_until < now()
      LIMIT ${roundMax} FOR UPDATE SKIP LOCKED
    ), reclaimed AS (
      UPDATE deliveries d SET
        attempt_count = attempt_count + 1, unknown_count = unknown_count + 1, lease_token = NULL, leased_until = NULL,
        status = CASE WHEN e.poison THEN 'failed_permanent' ELSE d.status END,
        next_retry_at = CASE WHEN NOT e.poison
          THEN now() + random() * 3 * 10 ^ d.unknown_count * interval '1 second' END,
        error_class = CASE WHEN e.poison THEN 'poison' ELSE 'outcome_unknown' END,
        error_message = CASE WHEN e.poison THEN ${poison}::text ELSE ${outcomeUnknown}::text END
      FROM expired e WHERE d.id = e.id
      RETURNING d.id, d.client_id, d.webhook_id, d.event_id, d.event_type, d.attempt_count, d.error_class,
        d.error_message, e.poison
    ), history AS (
      INSERT INTO attempts (id, delivery_id, number, result, error_class, error_message, started_at)
      SELECT uuid_v7(), id, attempt_count, 'outcome_unknown', 'outcome_unknown', ${outcomeUnknown}, now()
      FROM reclaimed
    ), measured AS (
      ${AttemptCounts.added(sql, made(sql))}
    ), exhausted AS (
      ${exhausted(sql, sql`SELECT * FROM reclaimed WHERE poison`)}
    )
    SELECT poison, (SELECT count(*) FROM exhausted) AS told, CASE WHEN poison THEN raise_alert(
      client_id, webhook_id, 'delivery_quarantined', 'critical', ${poison}::text,
      jsonb_build_object('delivery_id', typeid('dlv', id), 'event_id', typeid('evt', event_id), 'event_type', event_type)) END
    FROM reclaimed ORDER BY webhook_id
  `.pipe(
    Effect.flatMap(decodeReclaimed),
    Effect.map((rows): Reclaimed => ({ ended: rows.length, setAside: rows.filter(({ poison }) => poison).length }))
  )

const decodeReclaimed = Schema.decodeUnknown(Schema.Array(Schema.Struct({ poison: Schema.Boolean })))
