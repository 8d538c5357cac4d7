/** The day partitions as the catalogue has them: which there are, what needs them, and the statements that end them. */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { escapeIdentifier, escapeLiteral } from "pg"

const Partition = Schema.Struct({
  table: Schema.Literal("attempts", "deliveries", "events"),
  name: Schema.String,
  /** By UTC, `2025-02-20`. */
  day: Schema.String,
  age: Schema.Int,
  state: Schema.Literal("attached", "detaching", "detached"),
  /** The ids of its rows: from this one on, and before that one. */
  lower: Schema.String,
  upper: Schema.String
})
export type Partition = typeof Partition.Type

/** Only what carries this is ours to finish: others may detach a day to keep it elsewhere. */
const mark = "deeper_hub_webhooks: past its retention, being dropped"

/** Those that hold rows, or did until we began to drop them. */
export const list = (sql: SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Void,
    Result: Partition,
    execute: () =>
      sql`
        WITH partition AS (
          SELECT p.parent AS "table", c.relname AS name, to_date(right(c.relname, 8), 'YYYYMMDD') AS day,
            CASE WHEN i.inhrelid IS NULL THEN 'detached' WHEN i.inhdetachpending THEN 'detaching' ELSE 'attached' END
              AS state
          FROM unnest(ARRAY['attempts', 'deliveries', 'events']) AS p (parent)
          JOIN pg_class t ON t.oid = p.parent::regclass
          JOIN pg_class c ON c.relnamespace = t.relnamespace AND c.relkind = 'r'
            AND c.relname ~ ('^' || p.parent || '_[0-9]{8}$')
          LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = t.oid
          WHERE (i.inhrelid IS NOT NULL AND NOT i.inhdetachpending) OR obj_description(c.oid, 'pg_class') = ${mark}
        )
        SELECT "table", name, day::text AS day, (now() AT TIME ZONE 'UTC')::date - day AS age, state,
          uuid_v7_floor(day::timestamp AT TIME ZONE 'UTC')::text AS lower,
          uuid_v7_floor((day + 1)::timestamp AT TIME ZONE 'UTC')::text AS upper
        FROM partition ORDER BY name
      `
  })()

/** Counting goes so far and no further. */
export const waitingMax = 1_000

/**
 * Deliveries of this day that are not done with. Each arm asks in the order of the partial index that holds its rows, so
 * that it is never answered by reading the day.
 */
export const waiting = (sql: SqlClient, { name }: Pick<Partition, "name">) =>
  sql`
    SELECT 1 FROM (
      (SELECT 1 FROM ${sql(name)} WHERE next_retry_at IS NOT NULL AND lease_token IS NULL
       ORDER BY webhook_id, next_retry_at, id LIMIT ${waitingMax})
      UNION ALL
      (SELECT 1 FROM ${sql(name)} WHERE lease_token IS NOT NULL ORDER BY leased_until LIMIT ${waitingMax})
    ) w LIMIT ${waitingMax}
  `

export const waitingIn = (sql: SqlClient, partition: Partition) =>
  Effect.map(waiting(sql, partition), (rows) => rows.length)

/** Deliveries, of whatever day, of an event of this day. */
export const namingEvents = (sql: SqlClient, { lower, upper }: Pick<Partition, "lower" | "upper">) =>
  sql`
    SELECT event_id FROM deliveries WHERE event_id >= ${lower}::uuid AND event_id < ${upper}::uuid
    ORDER BY event_id LIMIT 1
  `

/** Attempts of this day at a delivery that is still there. */
export const atDeliveries = (
  sql: SqlClient,
  { name }: Pick<Partition, "name">,
  days: ReadonlyArray<Pick<Partition, "lower" | "upper">>
) =>
  sql`
    SELECT a.delivery_id
    FROM unnest(${days.map(({ lower }) => lower)}::uuid[], ${days.map(({ upper }) => upper)}::uuid[])
      AS d (lower, upper)
    CROSS JOIN LATERAL (
      SELECT delivery_id FROM ${sql(name)} WHERE delivery_id >= d.lower AND delivery_id < d.upper
      ORDER BY delivery_id, number LIMIT 1
    ) a LIMIT 1
  `

/** Whether something that stays would miss its rows. */
export const isNeeded = (sql: SqlClient, partition: Partition) =>
  Effect.gen(function*() {
    if (partition.table === "deliveries") return (yield* waitingIn(sql, partition)) > 0
    if (partition.table === "events") return (yield* namingEvents(sql, partition)).length > 0
    const deliveries = (yield* list(sql)).filter(({ table }) => table === "deliveries")
    return (yield* atDeliveries(sql, partition, deliveries)).length > 0
  })

/** What takes no parameters. The names are those of the catalogue. */
export const statements = ({ lower, name, table, upper }: Partition) => {
  const child = escapeIdentifier(name)
  const parent = escapeIdentifier(table)
  return {
    mark: `COMMENT ON TABLE ${child} IS ${escapeLiteral(mark)}`,
    unmark: `COMMENT ON TABLE ${child} IS NULL`,
    detach: `ALTER TABLE ${parent} DETACH PARTITION ${child} CONCURRENTLY`,
    finishDetaching: `ALTER TABLE ${parent} DETACH PARTITION ${child} FINALIZE`,
    attach: `ALTER TABLE ${parent} ATTACH PARTITION ${child}
      FOR VALUES FROM (${escapeLiteral(lower)}) TO (${escapeLiteral(upper)})`,
    drop: `DROP TABLE ${child}`
  }
}
