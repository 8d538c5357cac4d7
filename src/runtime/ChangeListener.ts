/**
 * Keeps what was read in step with the database. While it is deaf nothing is remembered, and every read goes to the
 * database: slower, and as right.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as OwnConnection from "../persistence/OwnConnection.ts"
import { ReadCache } from "../persistence/ReadCache.ts"
import { Supervisor } from "./Supervisor.ts"

export const layer = Layer.scopedDiscard(
  Effect.gen(function*() {
    const cache = yield* ReadCache
    const supervisor = yield* Supervisor
    const listening = cache.listen.pipe(
      Effect.catchTag(
        "PersistenceError",
        (error) => Effect.logWarning("changes are not heard, nothing is remembered meanwhile", error)
      ),
      Effect.repeat(OwnConnection.reconnecting)
    )
    yield* supervisor.supervise("ChangeListener", Effect.zipRight(listening, Effect.never))
  })
)
