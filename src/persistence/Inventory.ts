/** What there is in the database, for those who watch over it: webhooks by state, days of history, bytes. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { PersistenceError } from "./Postgres.ts"

const Count = Schema.Struct({
  registered: Schema.Number,
  circuitOpen: Schema.Int,
  circuitHalfOpen: Schema.Int,
  offByOwner: Schema.Int,
  offByGone: Schema.Int,
  offByFailures: Schema.Int,
  partitionDays: Schema.Int,
  /** By UTC, `2025-02-20`. */
  oldestDay: Schema.NullOr(Schema.String),
  newestDay: Schema.NullOr(Schema.String),
  sizeBytes: Schema.Number
})
export type Count = typeof Count.Type

/** Counting of what is rare goes so far and no further. */
const countMax = 10_000

const count = (sql: SqlClient.SqlClient) =>
  SqlSchema.single({
    Request: Schema.Void,
    Result: Count,
    execute: () =>
      sql`
        SELECT (SELECT count(*)::float8 FROM webhooks WHERE deleted_at IS NULL) AS registered, c.*, d.*, p.*,
          pg_database_size(current_database())::float8 AS size_bytes
        FROM (
          SELECT count(*) FILTER (WHERE circuit = 'open')::int AS circuit_open,
            count(*) FILTER (WHERE circuit = 'half_open')::int AS circuit_half_open
          FROM (SELECT circuit FROM webhooks WHERE circuit <> 'closed' AND deleted_at IS NULL LIMIT ${countMax}) AS w
        ) AS c, (
          SELECT count(*) FILTER (WHERE deactivation_reason = 'owner')::int AS off_by_owner,
            count(*) FILTER (WHERE deactivation_reason = 'gone')::int AS off_by_gone,
            count(*) FILTER (WHERE deactivation_reason = 'failures')::int AS off_by_failures
          FROM (SELECT deactivation_reason FROM webhooks
                WHERE deactivation_reason IS NOT NULL AND deleted_at IS NULL LIMIT ${countMax}) AS w
        ) AS d, (
          SELECT count(*)::int AS partition_days, min(day)::text AS oldest_day, max(day)::text AS newest_day
          FROM (SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day
                FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'deliveries'::regclass) AS days
        ) AS p
      `
  })

export class Inventory extends Context.Tag("deeper-hub-webhooks/persistence/Inventory")<Inventory, {
  readonly count: Effect.Effect<Count, PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      return Inventory.of({
        count: count(sql)().pipe(
          Effect.catchTag("NoSuchElementException", Effect.die),
          PersistenceError.refail("Inventory.count")
        )
      })
    })
  )
}
