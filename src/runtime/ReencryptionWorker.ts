/** After a change of the encryption keys: seals everything again under the new one, while the service runs. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { Reencryption } from "../service/Reencryption.ts"
import { Supervisor } from "./Supervisor.ts"

/** The keyring changes only with a start, but another node may still seal under its old one. */
const interval = "1 hour"

export const layer = Layer.scopedDiscard(
  Effect.gen(function*() {
    const reencryption = yield* Reencryption
    const supervisor = yield* Supervisor
    const round = reencryption.run(() => Effect.void).pipe(
      Effect.tap(({ sealed, unreadable }) => {
        const counts = { keyId: reencryption.keyId, sealed, unreadable }
        if (unreadable > 0) return Effect.logError("no key of the keyring opens some webhooks' secrets", counts)
        return sealed > 0 ? Effect.logInfo("secrets sealed again", counts) : Effect.void
      }),
      Effect.catchTag(
        "PersistenceError",
        (error) => Effect.logWarning("sealing again failed, the next round tries again", error)
      ),
      Effect.withTracerEnabled(false)
    )
    yield* supervisor.supervise(
      "ReencryptionWorker",
      Effect.repeat(round, Schedule.spaced(interval)).pipe(Effect.zipRight(Effect.never))
    )
  })
)
