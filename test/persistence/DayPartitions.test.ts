import * as SqlClient from "@effect/sql/SqlClient"
import type { Statement } from "@effect/sql/Statement"
import { assert, it, vi } from "@effect/vitest"
import { Effect } from "effect"
import * as DayPartitions from "../../src/persistence/DayPartitions.ts"
import * as PastDays from "../support/PastDays.ts"
import * as Stores from "../support/Stores.ts"

vi.setConfig({ testTimeout: 120_000 })

const rows = 20_000

/** Three days with many finished deliveries, an event and an attempt each. */
const fill = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* PastDays.make(9, 0)
  // The index that the claim goes by, as it is without `hold`.
  yield* sql`
    CREATE INDEX deliveries_to_claim ON deliveries (webhook_id, next_retry_at, id)
    WHERE next_retry_at IS NOT NULL AND lease_token IS NULL`
  for (const age of [9, 8, 0]) {
    const day = yield* PastDays.dayOf(age)
    yield* sql`
      WITH id AS (
        SELECT uuid_v7_floor((${day}::date + interval '1 second' * n) AT TIME ZONE 'UTC') AS id
        FROM generate_series(1, ${rows}::int) n
      ), delivery AS (
        INSERT INTO deliveries (id, webhook_id, client_id, event_id, event_type, status, next_retry_at, delivered_at)
        SELECT id, gen_random_uuid(), 'past', id, 'deal.won', 'delivered', NULL, now() FROM id
      )
      INSERT INTO attempts (id, delivery_id, number, result, started_at) SELECT id, id, 1, 'success', now() FROM id`
  }
})

interface Node {
  readonly "Node Type": string
  readonly "Relation Name"?: string
  readonly "Index Name"?: string
  readonly "Index Cond"?: string
  readonly Plans?: ReadonlyArray<Node>
}

const flatten = (node: Node): ReadonlyArray<Node> => [node, ...(node.Plans ?? []).flatMap(flatten)]

/** Tables that are read from end to end, and indexes of every row that are. */
const readWhole = <A>(statement: Statement<A>) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const partial = yield* sql<{ readonly name: string }>`
      SELECT relname AS name FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indpred IS NOT NULL`
    const isPartial = new Set(partial.map(({ name }) => name))
    const [text, values] = statement.compile()
    const [row] = yield* sql.unsafe<{ readonly "QUERY PLAN": ReadonlyArray<{ readonly Plan: Node }> }>(
      `EXPLAIN (FORMAT JSON) ${text}`,
      values
    ).withoutTransform
    const nodes = (row?.["QUERY PLAN"] ?? []).flatMap(({ Plan }) => flatten(Plan))
    assert.isTrue(nodes.some((node) => node["Index Name"] !== undefined), text)
    return nodes.flatMap((node) => {
      const index = node["Index Name"]
      if (node["Node Type"] === "Seq Scan") return [node["Relation Name"]]
      return index === undefined || node["Index Cond"] !== undefined || isPartial.has(index) ? [] : [index]
    })
  })

it.scopedLive("what keeps a day is found through indexes, whether or not the day was ever analysed", () =>
  Effect.gen(function*() {
    yield* fill
    const sql = yield* SqlClient.SqlClient
    const partitions = yield* DayPartitions.list(sql)
    const day = yield* PastDays.dayOf(9)
    const old = (table: string) => {
      const found = partitions.find((partition) => partition.table === table && partition.day === day)
      assert(found)
      return found
    }
    const statements = [
      DayPartitions.waiting(sql, old("deliveries")),
      DayPartitions.namingEvents(sql, old("events")),
      DayPartitions.atDeliveries(sql, old("attempts"), partitions.filter(({ table }) => table === "deliveries"))
    ]
    for (const analysis of [sql`SELECT 1`, sql`ANALYZE deliveries, attempts`]) {
      yield* analysis
      for (const statement of statements) assert.deepStrictEqual(yield* readWhole(statement), [])
    }
  }).pipe(Effect.provide(Stores.layer)))
