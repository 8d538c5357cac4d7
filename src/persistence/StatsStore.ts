/**
 * The webhooks' stats: reading those of one, making rows of hours out of rows of minutes, and forgetting what no window
 * reaches any more. They outlive the deliveries that they count.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Reach } from "../domain/Client.ts"
import type { WebhookId } from "../domain/Ids.ts"
import { buckets, bucketsAt, type Open, type StatsWindow, Tally } from "../domain/WebhookStats.ts"
import { Timestamp, WebhookUuid } from "./Columns.ts"
import { PersistenceError } from "./Postgres.ts"

/** Counting goes so far and no further. */
export const openMax = 10_000

/** Hours for which attempts are kept by the minutes: longer than the window that shows them so. */
const fineHours = 2

/** Days for which attempts are counted: longer than the longest window. */
const keptDays = 32

/** Rows of one statement, so that none takes long. */
const sweepMax = 5_000

const open = (sql: SqlClient.SqlClient) =>
  SqlSchema.findOne({
    Request: Schema.Struct({ ...Reach.fields, webhook: WebhookUuid }),
    Result: Schema.Struct({ now: Timestamp, pending: Schema.Int, failedRetryable: Schema.Int }),
    execute: ({ only, webhook }) =>
      sql`
        SELECT now() AS now, o.* FROM webhooks w
        CROSS JOIN LATERAL (
          SELECT count(*) FILTER (WHERE status = 'pending')::int AS pending,
            count(*) FILTER (WHERE status = 'failed_retryable')::int AS failed_retryable
          FROM (
            -- Each arm in the order of the index that holds its rows, and never by reading the webhook's history.
            (SELECT d.status FROM deliveries d
             WHERE d.webhook_id = w.id AND d.client_id = w.client_id AND d.next_retry_at IS NOT NULL AND d.lease_token IS NULL
             ORDER BY d.webhook_id, d.next_retry_at, d.id LIMIT ${openMax})
            UNION ALL
            (SELECT d.status FROM deliveries d
             WHERE d.webhook_id = w.id AND d.client_id = w.client_id AND d.lease_token IS NOT NULL
             ORDER BY d.leased_until LIMIT ${openMax})
          ) waiting
        ) o
        WHERE w.id = ${webhook} AND (${only}::text IS NULL OR w.client_id = ${only}) AND w.deleted_at IS NULL
      `
  })

const tallies = (sql: SqlClient.SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Struct({ ...Reach.fields, webhook: WebhookUuid, from: Timestamp, seconds: Schema.Int }),
    Result: Schema.Struct({ ...Tally.fields, at: Timestamp }),
    execute: ({ from, only, seconds, webhook }) =>
      sql`
        SELECT date_bin(make_interval(secs => ${seconds}), s.at, to_timestamp(0)) AS at, s.outcome,
          sum(s.attempts)::float8 AS attempts, sum(s.retries)::float8 AS retries,
          sum(s.rescheduled)::float8 AS rescheduled, sum_counts(s.latencies) AS latencies
        FROM webhooks w JOIN webhook_stats s ON s.webhook_id = w.id
        WHERE w.id = ${webhook} AND (${only}::text IS NULL OR w.client_id = ${only}) AND s.at >= ${from}
        GROUP BY 1, 2
      `
  })

/** Nobody adds to rows that old, and whoever else is at it passes over those that are locked. */
const coarsenSome = (sql: SqlClient.SqlClient) =>
  sql`
    WITH fine AS (
      DELETE FROM webhook_stats WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM webhook_stats
        WHERE at <> date_bin('1 hour', at, to_timestamp(0)) AND at < now() - make_interval(hours => ${fineHours})
        ORDER BY at LIMIT ${sweepMax} FOR UPDATE SKIP LOCKED))
      RETURNING *
    ), coarse AS (
      INSERT INTO webhook_stats AS s (webhook_id, at, outcome, attempts, retries, rescheduled, latencies)
      SELECT webhook_id, date_bin('1 hour', at, to_timestamp(0)) AS hour, outcome, sum(attempts), sum(retries),
        sum(rescheduled), sum_counts(latencies)
      FROM fine GROUP BY webhook_id, hour, outcome ORDER BY webhook_id, hour, outcome
      ON CONFLICT (webhook_id, at, outcome) DO UPDATE SET
        attempts = s.attempts + excluded.attempts, retries = s.retries + excluded.retries,
        rescheduled = s.rescheduled + excluded.rescheduled, latencies = add_counts(s.latencies, excluded.latencies)
    )
    SELECT 1 FROM fine
  `

const forgetSome = (sql: SqlClient.SqlClient) =>
  sql`
    DELETE FROM webhook_stats WHERE ctid = ANY(ARRAY(
      SELECT ctid FROM webhook_stats
      WHERE at = date_bin('1 hour', at, to_timestamp(0)) AND at < now() - make_interval(days => ${keptDays})
      ORDER BY at LIMIT ${sweepMax} FOR UPDATE SKIP LOCKED))
    RETURNING 1
  `

export interface StatsRead {
  /** By the database's clock. */
  readonly now: DateTime.Utc
  readonly tallies: ReadonlyArray<Tally>
  readonly open: Open
}

export class StatsStore extends Context.Tag("deeper-hub-webhooks/persistence/StatsStore")<StatsStore, {
  /** None where there is no such webhook. */
  readonly read: (
    reach: Reach,
    webhook: WebhookId,
    window: StatsWindow
  ) => Effect.Effect<Option.Option<StatsRead>, PersistenceError>
  /** Adds what is older than two hours to its hour, and forgets what no window reaches. */
  readonly sweep: Effect.Effect<void, PersistenceError>
}>() {
  static readonly layer = Layer.effect(this, Effect.suspend(() => make))
}

const make = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const statements = { open: open(sql), tallies: tallies(sql) }
  return StatsStore.of({
    read: (reach, webhook, window) =>
      statements.open({ ...reach, webhook }).pipe(
        Effect.flatMap(Option.match({
          onNone: () => Effect.succeedNone,
          onSome: ({ now, ...open }) => {
            const [from = now] = bucketsAt(window, now)
            return statements.tallies({ ...reach, webhook, from, seconds: buckets[window].seconds }).pipe(
              Effect.map((tallies) => Option.some({ now, tallies, open }))
            )
          }
        })),
        PersistenceError.refail("StatsStore.read")
      ),
    sweep: Effect.zipRight(untilFew(coarsenSome(sql)), untilFew(forgetSome(sql))).pipe(
      PersistenceError.refail("StatsStore.sweep")
    )
  })
})

const untilFew = <A, E, R>(some: Effect.Effect<ReadonlyArray<A>, E, R>) =>
  Effect.asVoid(Effect.repeat(some, { while: (rows) => rows.length === sweepMax }))
