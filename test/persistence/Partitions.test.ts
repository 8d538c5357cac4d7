import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Array, DateTime, Effect } from "effect"
import { toUuid } from "../../src/domain/Ids.ts"
import * as Ids from "../../src/domain/Ids.ts"
import { Partitions } from "../../src/persistence/Partitions.ts"
import * as Rows from "../support/Rows.ts"
import * as Stores from "../support/Stores.ts"

const parents = ["attempts", "deliveries", "events"]

const ensure = Effect.flatMap(Partitions, (partitions) => partitions.ensure)

/** The partitions that exist, by name. */
const existing = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ name: string }>`
    SELECT c.relname AS name FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
    WHERE c.relkind = 'r' AND inhparent::regclass::text = ANY(${parents}) ORDER BY 1`
  return rows.map(({ name }) => name)
})

const day = (at: DateTime.Utc) => DateTime.formatIsoDateUtc(at).replaceAll("-", "")

const storeAt = (at: DateTime.Utc) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const uuid = Ids.toUuid(Ids.makeAt("EventId", at.epochMillis))
    yield* sql`INSERT INTO events (id, client_id, event_type, body, occurred_at)
      VALUES (${uuid}, 'days', 'deal.won', '{}', now())`
    const [row] = yield* sql<{ name: string }>`SELECT tableoid::regclass::text AS name FROM events WHERE id = ${uuid}`
    return row?.name
  })

layer(Stores.layer, Stores.options)("Partitions", (it) => {
  it.effect("exist for yesterday, today and the fourteen days to come, for each of the three tables", () =>
    Effect.gen(function*() {
      yield* ensure
      const today = yield* DateTime.now
      const days = Array.makeBy(16, (i) => day(DateTime.add(today, { days: i - 1 })))
      const wanted = parents.flatMap((parent) => days.map((one) => `${parent}_${one}`))
      assert.deepStrictEqual(yield* existing, wanted.toSorted())
    }))

  it.effect("are made once, however often and by however many nodes they are asked for", () =>
    Effect.gen(function*() {
      yield* ensure
      const before = yield* existing
      yield* Effect.replicateEffect(ensure, 6, { concurrency: 6 })
      assert.deepStrictEqual(yield* existing, before)
    }))

  it.effect("take each row into the day that its id was made in, by UTC", () =>
    Effect.gen(function*() {
      yield* ensure
      const midnight = DateTime.startOf(yield* DateTime.now, "day")
      for (const days of [-1, 0, 1, 14]) {
        const start = DateTime.add(midnight, { days })
        const end = DateTime.add(start, { days: 1, millis: -1 })
        assert.strictEqual(yield* storeAt(start), `events_${day(start)}`)
        assert.strictEqual(yield* storeAt(end), `events_${day(start)}`)
      }
    }))

  it.effect("take the ids that Postgres makes itself, which are UUIDv7 of the present", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("partitions")
      yield* Rows.makeWebhook(client, ["*"])
      const [published] = yield* Rows.publish(client, "deal.won")
      const id = published?.deliveries[0]?.id
      assert(id)
      const uuid = toUuid(id)
      assert.match(uuid, /^.{14}7.{4}[89ab]/)
      const madeAt = Number.parseInt(uuid.replace("-", "").slice(0, 12), 16)
      assert.approximately(madeAt, (yield* DateTime.now).epochMillis, 60_000)
      const sql = yield* SqlClient.SqlClient
      const rows = yield* sql`SELECT tableoid::regclass::text AS name FROM deliveries WHERE id = ${uuid}`
      assert.deepStrictEqual(rows, [{ name: `deliveries_${day(DateTime.unsafeMake(madeAt))}` }])
    }))
})
