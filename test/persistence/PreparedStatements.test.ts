import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Layer, Redacted } from "effect"
import * as Postgres from "../../src/persistence/Postgres.ts"
import * as PgTest from "../support/PgTest.ts"
import * as Stores from "../support/Stores.ts"

/** The pool that the service has, of one connection, on the test's own database. */
const Pooled = Layer.unwrapEffect(
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const [row] = yield* sql<{ name: string }>`SELECT current_database() AS name`
    return Postgres.layer({
      url: Redacted.make(PgTest.urlOf(row?.name ?? "")),
      poolMax: 1,
      queryTimeout: "5 seconds"
    })
  })
).pipe(Layer.provide(PgTest.layer))

const plans = (sql: SqlClient.SqlClient, like: string) =>
  sql<{ genericPlans: string; customPlans: string }>`
    SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE ${like}
  `

layer(Pooled, Stores.options)("prepared statements", (it) => {
  it.effect("are planned once from the first call on where they are marked so, and others as the server likes", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      for (const n of [1, 2, 3]) {
        const marked = yield* sql`/* one plan */ SELECT ${n}::int AS marked`
        const plain = yield* sql`SELECT ${n}::int AS plain`
        assert.deepStrictEqual([marked, plain], [[{ marked: n }], [{ plain: n }]])
      }
      assert.deepStrictEqual(yield* plans(sql, "%AS marked"), [{ genericPlans: "3", customPlans: "0" }])
      assert.deepStrictEqual(yield* plans(sql, "%AS plain"), [{ genericPlans: "0", customPlans: "3" }])
    }))

  it.effect("a marked one that fails, fails as others do, and its connection goes on", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const failed = yield* Effect.exit(sql`/* one plan */ SELECT 1 / ${0}::int AS failed`)
      assert.isTrue(Exit.isFailure(failed))
      assert.deepStrictEqual(yield* sql`SELECT ${1}::int AS n`, [{ n: 1 }])
      const inside = sql.withTransaction(
        Effect.zipRight(
          sql`/* one plan */ SELECT ${2}::int AS n`,
          sql`SELECT current_setting('plan_cache_mode') AS mode, current_setting('enable_seqscan') AS scans`
        )
      )
      assert.deepStrictEqual(yield* inside, [{ mode: "auto", scans: "on" }])
    }))
})
