/** A service reduced to its Postgres, for EmbeddedPostgres.test.ts to kill. Few imports: it is started often. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { acquire } from "../../src/persistence/EmbeddedPostgres.ts"

Effect.gen(function*() {
  const { url } = yield* acquire({ dataDirectory: process.argv[2] ?? "" })
  yield* Console.log(`READY ${Redacted.value(url)}`)
  return yield* Effect.never
}).pipe(
  Effect.scoped,
  Effect.tapError((error) => Console.log(`FAILED ${error.name} ${error.message}`)),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
