/**
 * SIGTERM and SIGINT: the first ends the service in order, and says so. The second tells that whoever stops it will not wait
 * for attempts to end. A third ends the process.
 */
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import { Bulkhead } from "./runtime/Bulkhead.ts"
import { WebhookClient } from "./transport/WebhookClient.ts"

const signals = ["SIGINT", "SIGTERM"] as const

/** For the life of the process: it is while everything is being closed that the second one counts. */
export const listen = Effect.gen(function*() {
  const bulkhead = yield* Bulkhead
  const client = yield* WebhookClient
  const runtime = yield* Effect.runtime<never>()
  const interrupt = Effect.zipRight(
    Effect.logWarning("a second signal: attempts under way are broken off; they are made again later"),
    // Until the actors are told to stop, what is due again would be claimed again.
    Effect.zipRight(bulkhead.close, client.interrupt)
  )
  const stopping = Effect.logInfo("stopping: attempts under way end first; a second signal breaks them off")
  let heard = 0
  const onSignal = () => {
    heard += 1
    if (heard === 1) Runtime.runFork(runtime)(stopping)
    if (heard === 2) Runtime.runFork(runtime)(interrupt)
    if (heard > 2) process.exit(1)
  }
  yield* Effect.sync(() => {
    for (const signal of signals) process.on(signal, onSignal)
  })
})
