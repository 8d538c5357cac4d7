/** Runs the plain `.sql` files of `migrations/` in order, once each, all in one transaction. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Migrator from "@effect/sql/Migrator"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

const failed = (message: string, cause: unknown) => new Migrator.MigrationError({ reason: "failed", message, cause })

/** Postgres counts characters; people look for lines. */
const explain = (text: string, { cause, message }: SqlError) => {
  if (!(cause instanceof Error)) return message
  const position = "position" in cause ? Number(cause.position) : 0
  const line = position > 0 ? ` (line ${text.slice(0, position).split("\n").length})` : ""
  const hint = "hint" in cause && typeof cause.hint === "string" ? `. ${cause.hint}` : ""
  return `${cause.message}${line}${hint}`
}

const runFile = Effect.fnUntraced(function*(file: string) {
  const fs = yield* FileSystem.FileSystem
  const sql = yield* SqlClient.SqlClient
  const text = yield* Effect.mapError(
    fs.readFileString(file),
    (cause) => failed(`The migration ${file} cannot be read: ${cause.message}`, cause)
  )
  yield* Effect.mapError(
    sql.unsafe(text),
    (cause) => failed(`The migration ${file} failed: ${explain(text, cause)}`, cause)
  )
})

const loader = (directory: string): Migrator.Loader<FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const files = yield* Effect.mapError(
      fs.readDirectory(directory),
      (cause) => failed(`The migrations in ${path.resolve(directory)} cannot be read: ${cause.message}`, cause)
    )
    const context = yield* Effect.context<FileSystem.FileSystem>()
    return files
      .flatMap((file): ReadonlyArray<Migrator.ResolvedMigration> => {
        const [, id, name] = /^(\d+)_(\w+)\.sql$/.exec(file) ?? []
        if (id === undefined || name === undefined) return []
        return [[Number(id), name, Effect.succeed(Effect.provide(runFile(path.join(directory, file)), context))]]
      })
      .toSorted(([a], [b]) => a - b)
  })

/** The migrator turns a failing migration into a defect; it is an expected failure, and it names its file. */
const asFailure = (defect: unknown) =>
  defect instanceof Migrator.MigrationError
    ? Option.some(Effect.fail(defect.cause instanceof Migrator.MigrationError ? defect.cause : defect))
    : Option.none()

export const run = (directory: string) =>
  Migrator.make({})({ loader: loader(directory), table: "schema_migrations" }).pipe(
    Effect.catchSomeDefect(asFailure)
  )
