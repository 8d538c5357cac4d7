import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Layer, Redacted, type Scope } from "effect"
import { DirectQuery } from "../../src/persistence/DirectQuery.ts"
import * as Postgres from "../../src/persistence/Postgres.ts"
import { eventually } from "../support/Eventually.ts"
import * as PgTest from "../support/PgTest.ts"

/** One connection with a deadline, beside PgTest's own way to the database. */
const Hurried = Layer.unwrapEffect(
  Effect.map(PgTest.url, (url) => Postgres.layer({ url: Redacted.make(url), poolMax: 1, queryTimeout: "300 millis" }))
)
const deadline = "it did not answer within 300 ms"

const hurried = <A, E>(self: Effect.Effect<A, E, SqlClient.SqlClient | Scope.Scope>) =>
  Effect.provide(Effect.scoped(self), Hurried)

/** Nothing goes on but what asks: the server looks for whoever left once it is done with what they asked. */
const over = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  eventually(
    sql<{ busy: number }>`SELECT count(*)::int AS busy FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle' AND backend_type = 'client backend'`,
    ([row]) => row?.busy === 0
  ))

const rows = (table: string) => Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT * FROM ${sql(table)}`)

layer(PgTest.layer, { timeout: "60 seconds", excludeTestServices: true })("a statement's deadline", (it) => {
  it.effect("ends the transaction it is in, and nobody else's", () =>
    Effect.gen(function*() {
      const own = yield* SqlClient.SqlClient
      yield* own`CREATE TABLE halves (id int)`
      const seen = yield* hurried(Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const failed = yield* Effect.exit(
          Postgres.transaction(sql)(Effect.zipRight(sql`INSERT INTO halves VALUES (1)`, sql`SELECT pg_sleep(1)`))
        )
        assert.isTrue(Exit.isFailure(failed))
        return yield* sql`SELECT 1 AS one`
      }))
      assert.deepStrictEqual(seen, [{ one: 1 }])
      yield* over
      assert.deepStrictEqual(yield* rows("halves"), [])
    }))

  it.effect("ends what waits behind it on its connection: it is not carried out later", () =>
    Effect.gen(function*() {
      const own = yield* SqlClient.SqlClient
      yield* own`CREATE TABLE late (id int)`
      const ends = yield* hurried(Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const connection = yield* sql.reserve
        const slow = connection.executeRaw("SELECT pg_sleep(1)", [])
        const behind = connection.executeRaw("INSERT INTO late VALUES (1)", [])
        const both = yield* Effect.all([Effect.exit(slow), Effect.exit(behind)], { concurrency: 2 })
        yield* over.pipe(Effect.provideService(SqlClient.SqlClient, own))
        return both
      }))
      assert.isTrue(ends.every(Exit.isFailure))
      assert.deepStrictEqual(yield* rows("late"), [])
    }))

  it.effect("is one for a statement with what is said around it", () =>
    hurried(Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const run = yield* DirectQuery
      const session = run(sql`SELECT pg_backend_pid() AS pid, ${1}::int AS n`)
      const before = yield* session
      const failed = yield* Effect.flip(run(sql`/* one plan */ SELECT pg_sleep(${3600}::int)`))
      assert.include(String(failed.cause), deadline)
      assert.notDeepEqual(yield* session, before)
      const inTime = yield* run(sql`/* one plan */ SELECT pg_sleep(${0}::int), 1 AS one`)
      assert.lengthOf(inTime, 1)
    })))
})
