/**
 * Two clocks: the database's decides what is due, this machine's stamps signatures and ids. Says when the one was put back,
 * and when the two are further apart than receivers would bear.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import { DeliveryStore } from "../persistence/DeliveryStore.ts"

/** Standard Webhooks lets receivers refuse timestamps that are five minutes off: early enough to mend it before. */
const skewMsMax = 30_000

export const makeWatchClocks = Effect.gen(function*() {
  const store = yield* DeliveryStore
  const isSkewed = yield* Ref.make(false)

  return Effect.gen(function*() {
    const { nowMs, putBackSeconds } = yield* store.followClock
    if (putBackSeconds > 0) {
      yield* Effect.logWarning("the database's clock was put back; what waits moved with it", {
        seconds: putBackSeconds
      })
    }
    const skewMs = Math.round((yield* Clock.currentTimeMillis) - nowMs)
    const skewed = Math.abs(skewMs) > skewMsMax
    if ((yield* Ref.getAndSet(isSkewed, skewed)) === skewed) return
    yield* skewed
      ? Effect.logError("this machine's clock and the database's are apart: receivers may refuse signatures", {
        skewMs
      })
      : Effect.logInfo("this machine's clock and the database's agree again", { skewMs })
  })
})
