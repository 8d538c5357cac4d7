/**
 * Wakes other nodes for what was committed here, and this one for what was committed there. Nothing depends on it: while
 * it is deaf, or nobody hears it, polling brings the work.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { WebhookId } from "../domain/Ids.ts"
import { Notifications } from "../persistence/Notifications.ts"
import * as OwnConnection from "../persistence/OwnConnection.ts"
import { Signal, Signals, signalsMax } from "../telemetry/Signals.ts"
import { Supervisor } from "./Supervisor.ts"

/** For how long webhooks are gathered into one notification: many events a second make few of them. */
const gathering = "50 millis"

export const layer = Layer.scopedDiscard(
  Effect.gen(function*() {
    const supervisor = yield* Supervisor
    const tell = yield* makeTell
    const hear = yield* makeHear
    yield* supervisor.supervise("Wakeups", Effect.zipRight(Effect.zip(tell, hear, { concurrent: true }), Effect.never))
  })
)

const makeTell = Effect.gen(function*() {
  const notifications = yield* Notifications
  const signals = yield* PubSub.subscribe(yield* Signals)

  return Effect.gen(function*() {
    // All that wait: most tell of attempts, and are nothing to be told of.
    const first = arrivals(yield* Queue.takeBetween(signals, 1, signalsMax))
    if (first.length === 0) return
    yield* Effect.sleep(gathering)
    const more = arrivals(yield* Queue.takeAll(signals))
    yield* notifications.send(Array.from(new Set([...first, ...more])))
  }).pipe(
    // Where the database is away, others say so.
    Effect.catchTag("PersistenceError", (error) => Effect.logDebug("other nodes are not woken", error)),
    Effect.withTracerEnabled(false),
    Effect.forever
  )
})

/** Only what began here: what another node said is not said again. */
const arrivals = (signals: Iterable<Signal>): ReadonlyArray<WebhookId> =>
  Array.from(signals).flatMap((signal) => signal._tag === "WorkArrived" ? signal.webhookIds : [])

const makeHear = Effect.gen(function*() {
  const notifications = yield* Notifications
  const signals = yield* Signals

  return notifications.listen.pipe(
    Stream.runForEach((webhookIds) => PubSub.publish(signals, Signal.WorkAnnounced({ webhookIds }))),
    Effect.catchTag(
      "PersistenceError",
      (error) => Effect.logWarning("other nodes are not heard, polling goes on", error)
    ),
    Effect.withTracerEnabled(false),
    Effect.repeat(OwnConnection.reconnecting)
  )
})
