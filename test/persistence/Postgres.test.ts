import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { DirectQuery } from "../../src/persistence/DirectQuery.ts"
import * as Postgres from "../../src/persistence/Postgres.ts"
import * as PgTest from "../support/PgTest.ts"

/** One connection, to a database that is set not to wait for its disk. */
const alone = Layer.unwrapEffect(Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const [{ name } = { name: "" }] = yield* sql<{ readonly name: string }>`SELECT current_database() AS name`
  yield* sql`ALTER DATABASE ${sql(name)} SET synchronous_commit = off`
  const url = Redacted.make(yield* PgTest.url)
  return Postgres.layer({ url, poolMax: 1, queryTimeout: "300 millis" })
})).pipe(Layer.provide(PgTest.layer), Layer.orDie)

layer(alone, { timeout: "60 seconds", excludeTestServices: true })("the connection to Postgres", (it) => {
  it.effect("a statement that timed out keeps nobody waiting behind it", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const slow = yield* Effect.flip(sql`SELECT pg_sleep(3600)`)
      assert.strictEqual(slow._tag, "SqlError")
      assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
    }))

  it.effect("a statement that was run on the pool itself leaves its connection as good as it was", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const run = yield* DirectQuery
      const session = run(sql`SELECT pg_backend_pid() AS pid`)
      const before = yield* session
      assert.strictEqual((yield* Effect.flip(run(sql`SELECT 1 / ${0}::int`)))._tag, "SqlError")
      assert.deepStrictEqual(yield* session, before)
      assert.strictEqual((yield* Effect.flip(run(sql`SELECT pg_sleep(3600)`)))._tag, "SqlError")
      assert.notDeepEqual(yield* session, before)
    }))

  it.effect("what runs on the pool itself is part of a transaction all the same", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const run = yield* DirectQuery
      yield* sql`CREATE TABLE undone (id int)`
      const [within] = yield* sql.withTransaction(Effect.gen(function*() {
        yield* sql`INSERT INTO undone VALUES (1)`
        return yield* run(sql`SELECT count(*)::int AS seen FROM undone`)
      }))
      assert.deepStrictEqual(within, { seen: 1 })
    }))

  it.effect("commits survive a crash, though the database is set otherwise", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      assert.deepStrictEqual(yield* sql`SHOW synchronous_commit`, [{ synchronousCommit: "on" }])
    }))

  it.effect("plans a statement once a connection, whatever its parameters are", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      for (const n of [1, 2, 3]) {
        assert.deepStrictEqual(yield* sql`SELECT ${n}::int AS planned_once`, [{ plannedOnce: n }])
      }
      const prepared = yield* sql`
        SELECT generic_plans + custom_plans AS runs FROM pg_prepared_statements
        WHERE statement LIKE '%planned_once%' AND statement LIKE ${"SELECT $1%"}`
      assert.deepStrictEqual(prepared, [{ runs: "3" }])
    }))

  it.effect("prepares anew what a migration made unusable", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE changing (id int)`
      yield* sql`INSERT INTO changing VALUES (1)`
      const read = sql`SELECT * FROM changing WHERE id = ${1}`
      assert.deepStrictEqual(yield* read, [{ id: 1 }])
      yield* sql`ALTER TABLE changing ADD COLUMN later int`
      yield* Effect.flip(read)
      assert.deepStrictEqual(yield* read, [{ id: 1, later: null }])
    }))
})
