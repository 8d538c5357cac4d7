/** A Postgres of a benchmark's own that commits durably, in a directory that goes with it. */
import * as Effect from "effect/Effect"
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { acquire } from "../src/persistence/EmbeddedPostgres.ts"

export const server = Effect.gen(function*() {
  const directory = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "deeper-hub-webhooks-bench-"))),
    (made) => Effect.promise(() => rm(made, { recursive: true, force: true }))
  )
  // When root runs it, the user of Postgres has to get in.
  yield* Effect.promise(() => chmod(directory, 0o755))
  return yield* acquire({ dataDirectory: directory })
})
