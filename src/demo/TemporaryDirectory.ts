/** A data directory for one run, removed with all that grew out of it. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"

export const make = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const remove = (path: string) => Effect.orDie(fs.remove(path, { recursive: true, force: true }))
  const directory = yield* Effect.acquireRelease(
    fs.makeTempDirectory({ prefix: "deeper-hub-webhooks-demo-" }),
    (directory) =>
      Effect.gen(function*() {
        // Where root runs Postgres as another user, the database may have had to go elsewhere; see Placement.
        const elsewhere = yield* Effect.option(fs.readFileString(`${directory}/postgres.location`))
        if (elsewhere._tag === "Some") yield* remove(elsewhere.value.trim())
        yield* remove(directory)
      })
  )
  // That other user has to get in.
  yield* fs.chmod(directory, 0o755)
  return directory
})
