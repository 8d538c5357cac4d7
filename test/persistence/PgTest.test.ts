import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Client } from "pg"
import * as PgTest from "../support/PgTest.ts"

layer(PgTest.layer)("PgTest", (it) => {
  it.effect("gives a migrated database whose url others can use", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE seen_by_others (some_name int)`
      yield* sql`INSERT INTO seen_by_others ${sql.insert({ someName: 7 })}`
      const rows = yield* Effect.flatMap(PgTest.url, (connectionString) =>
        Effect.promise(async () => {
          const client = new Client({ connectionString })
          await client.connect()
          const result = await client.query("SELECT some_name FROM seen_by_others")
          await client.end()
          return result.rows
        }))
      assert.deepStrictEqual(rows, [{ some_name: 7 }])
      assert.deepStrictEqual(yield* sql`SELECT some_name FROM seen_by_others`, [{ someName: 7 }])
      assert.lengthOf(yield* sql`SELECT to_regclass('schema_migrations') AS found`, 1)
    }))
})
