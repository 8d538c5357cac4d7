/** A migrated database of its own for each test file, dropped when the file ends. */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import { Effect, Layer, Redacted, String } from "effect"
import { createHash, randomBytes } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { inject } from "vitest"
import * as Migrations from "../../src/persistence/Migrations.ts"

const migrations = fileURLToPath(new URL("../../migrations", import.meta.url))

export const urlOf = (database: string) => {
  const url = new URL(inject("testPostgres").url)
  url.pathname = `/${database}`
  return url.href
}

const client = (database: string) =>
  PgClient.layer({
    url: Redacted.make(urlOf(database)),
    transformQueryNames: String.camelToSnake,
    transformResultNames: String.snakeToCamel,
    // As in production: keys inside JSON columns are data, not column names.
    transformJson: false
  })

/** Changes with the migrations, since in watch mode the server outlives them. */
const templateName = Effect.sync(() => {
  const hash = createHash("sha256")
  for (const file of readdirSync(migrations).toSorted()) hash.update(file).update(readFileSync(join(migrations, file)))
  return `${inject("testPostgres").run}_template_${hash.digest("hex").slice(0, 12)}`
})

const makeTemplate = (name: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE DATABASE ${sql(name)}`
    yield* Migrations.run(migrations).pipe(
      Effect.provide(client(name)),
      Effect.onError(() => Effect.ignore(sql`DROP DATABASE ${sql(name)} WITH (FORCE)`))
    )
  })

/** Whichever test file comes first makes the template; the others wait for it. A broken one is removed. */
const template = Effect.scoped(Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const name = yield* templateName
  // Not a transaction, inside which no database can be made: the lock belongs to this one connection.
  const connection = yield* sql.reserve
  yield* Effect.acquireRelease(
    connection.executeRaw("SELECT pg_advisory_lock(hashtext($1))", [name]),
    () => Effect.ignore(connection.executeRaw("SELECT pg_advisory_unlock(hashtext($1))", [name]))
  )
  const found = yield* sql`SELECT FROM pg_database WHERE datname = ${name}`
  if (found.length === 0) yield* makeTemplate(name)
  return name
}))

const makeDatabase = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const name = `${inject("testPostgres").run}_${randomBytes(6).toString("hex")}`
  const source = yield* template
  yield* Effect.acquireRelease(
    sql`CREATE DATABASE ${sql(name)} TEMPLATE ${sql(source)}`,
    () => Effect.orDie(sql`DROP DATABASE ${sql(name)} WITH (FORCE)`)
  )
  return name
})

/** `SqlClient` and `PgClient` on a fresh database. Build it once a file: `layer(PgTest.layer)("…", (it) => …)`. */
export const layer: Layer.Layer<PgClient.PgClient | SqlClient.SqlClient> = Layer.unwrapScoped(
  Effect.map(makeDatabase, client)
).pipe(Layer.provide(client("postgres")), Layer.provide(NodeContext.layer), Layer.orDie)

/** The DATABASE_URL of this file's database, to hand to a child process. */
export const url: Effect.Effect<string, never, PgClient.PgClient> = Effect.map(
  PgClient.PgClient,
  ({ config }) => config.url === undefined ? "" : Redacted.value(config.url)
)
