/**
 * Lets time pass without waiting: every moment that decides anything moves that far into the past, which to a service
 * that goes by the database's clock is the same as that clock moving on.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { Duration, Effect, Schema } from "effect"

/** Histories (events, attempts, the audit log) decide nothing. In the order in which the service locks them. */
const tables = ["deliveries", "webhooks", "alerts", "outbox", "idempotency_keys"]

const decodeColumns = Schema.decodeUnknown(
  Schema.Array(Schema.Struct({ tableName: Schema.String, columns: Schema.Array(Schema.String) }))
)

/** Leases stay: whoever is at work goes on prolonging them. */
const columnsOf = (sql: SqlClient.SqlClient) =>
  sql`
    SELECT table_name, array_agg(column_name::text) AS columns FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name = ANY(${tables}) AND data_type = 'timestamp with time zone'
      AND column_name <> 'leased_until'
    GROUP BY table_name
  `.pipe(Effect.flatMap(decodeColumns))

export const passAllTime = (time: Duration.DurationInput) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const ms = Duration.toMillis(time)
    const columns = yield* columnsOf(sql)
    yield* Effect.forEach(
      columns.toSorted((one, other) => tables.indexOf(one.tableName) - tables.indexOf(other.tableName)),
      ({ columns, tableName }) => {
        const moved = columns.map((column) => sql`${sql(column)} = ${sql(column)} - ${ms} * interval '1 millisecond'`)
        return sql`UPDATE ${sql(tableName)} SET ${sql.csv(moved)}`
      },
      { discard: true }
    ).pipe(
      // Nobody writes while the clock is put on.
      (moves) =>
        Effect.zipRight(sql`LOCK TABLE ${sql.csv(tables.map((table) => sql`${sql(table)}`))} IN EXCLUSIVE MODE`, moves),
      sql.withTransaction,
      Effect.orDie
    )
  })
