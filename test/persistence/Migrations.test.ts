import * as NodeContext from "@effect/platform-node/NodeContext"
import * as FileSystem from "@effect/platform/FileSystem"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { fileURLToPath } from "node:url"
import * as Migrations from "../../src/persistence/Migrations.ts"
import * as PgTest from "../support/PgTest.ts"

const ours = fileURLToPath(new URL("../../migrations", import.meta.url))

/** A directory with these files. */
const directory = (files: Readonly<Record<string, string>>) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const made = yield* fs.makeTempDirectoryScoped()
    for (const [name, text] of Object.entries(files)) yield* fs.writeFileString(`${made}/${name}`, text)
    return made
  })

/** Everything that the database knows of itself. */
const schema = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  sql`
    SELECT table_name, column_name, data_type, column_default, is_nullable
    FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2`)

const applied = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql`SELECT migration_id, name FROM schema_migrations ORDER BY 1`
)

const options = { timeout: "60 seconds", excludeTestServices: true } as const

layer(Layer.merge(PgTest.layer, NodeContext.layer), options)("Migrations", (it) => {
  it.effect("have all run, each once, and running them again changes nothing", () =>
    Effect.gen(function*() {
      const before = { schema: yield* schema, applied: yield* applied }
      assert.deepStrictEqual(yield* Migrations.run(ours), [])
      assert.deepStrictEqual({ schema: yield* schema, applied: yield* applied }, before)
      const fs = yield* FileSystem.FileSystem
      const files = (yield* fs.readDirectory(ours)).toSorted()
      assert.deepStrictEqual(
        before.applied.map((row) => `${String(row["migrationId"]).padStart(4, "0")}_${String(row["name"])}.sql`),
        files
      )
    }))

  it.scoped("run once also when several nodes start together", () =>
    Effect.gen(function*() {
      const more = yield* directory({ "0901_together.sql": "CREATE TABLE together (n int); SELECT pg_sleep(0.2)" })
      const ran = yield* Effect.replicateEffect(Effect.either(Migrations.run(more)), 4, { concurrency: 4 })
      const done = ran.flatMap((result) => result._tag === "Right" ? result.right : [])
      assert.deepStrictEqual(done, [[901, "together"]])
      for (const result of ran) if (result._tag === "Left") assert.deepInclude({ ...result.left }, { reason: "locked" })
    }))

  it.scoped("are taken in the order of their numbers, and other files are left alone", () =>
    Effect.gen(function*() {
      const more = yield* directory({
        "1000_last.sql": "INSERT INTO ordered VALUES (3)",
        "0999_second.sql": "INSERT INTO ordered VALUES (2)",
        "0998_first.sql": "CREATE TABLE ordered (n int)",
        "README.md": "not SQL",
        "0997_draft.sql.bak": "SELECT broken"
      })
      const ran = yield* Migrations.run(more)
      assert.deepStrictEqual(ran.map(([id]) => id), [998, 999, 1_000])
      const sql = yield* SqlClient.SqlClient
      assert.deepStrictEqual(yield* sql`SELECT n FROM ordered ORDER BY n`, [{ n: 2 }, { n: 3 }])
    }))

  it.scoped("that fail name their file and the line, and leave nothing behind", () =>
    Effect.gen(function*() {
      const before = { schema: yield* schema, applied: yield* applied }
      const more = yield* directory({
        "2000_good.sql": "CREATE TABLE left_behind (n int)",
        "2001_bad.sql": "-- a comment\nCREATE TABLE also_left (n int);\nCREATE TABLES wrong (n int);"
      })
      const error = yield* Effect.flip(Migrations.run(more))
      assert.include(error.message, "2001_bad.sql failed: ")
      assert.include(error.message, `syntax error at or near "TABLES" (line 3)`)
      assert.deepStrictEqual({ schema: yield* schema, applied: yield* applied }, before)
    }))

  it.effect("that are not there are missed by name", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Migrations.run("/no/such/place"))
      assert.include(error.message, "/no/such/place")
    }))
})
