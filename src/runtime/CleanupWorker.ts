/** Keeps the day partitions ahead of time, and forgets idempotency keys and previous secrets past theirs. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { EventStore } from "../persistence/EventStore.ts"
import { Partitions } from "../persistence/Partitions.ts"
import { WebhookStore } from "../persistence/WebhookStore.ts"
import { Supervisor } from "./Supervisor.ts"

/** Partitions reach two weeks ahead, so a round may be missed many times over. */
const interval = "1 hour"

export const layer = Layer.scopedDiscard(
  Effect.gen(function*() {
    const events = yield* EventStore
    const partitions = yield* Partitions
    const webhooks = yield* WebhookStore
    const supervisor = yield* Supervisor
    const round = Effect.all([partitions.ensure, events.expireIdempotencyKeys, webhooks.expirePreviousSecrets]).pipe(
      Effect.catchTag(
        "PersistenceError",
        (error) => Effect.logWarning("cleanup failed, the next round tries again", error)
      ),
      Effect.withTracerEnabled(false)
    )
    yield* supervisor.supervise(
      "CleanupWorker",
      Effect.repeat(round, Schedule.spaced(interval)).pipe(Effect.zipRight(Effect.never))
    )
  })
)
