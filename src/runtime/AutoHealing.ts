/**
 * Looks after webhooks that were switched off for failures: each is pinged now and then, and switched on again when it
 * answers. What its owner switched off, or its receiver with a 410, stays off; a 410 to the ping is one as well.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import { pauseMs } from "../domain/Healing.ts"
import { HealingStore, type Patient } from "../persistence/HealingStore.ts"
import { Probe } from "../service/Probe.ts"
import { Signal, Signals } from "../telemetry/Signals.ts"
import { Supervisor } from "./Supervisor.ts"

/** Pings at once: each may take as long as its webhook's timeout. */
const concurrency = 32
const interval = "3 seconds"

export const layer = Layer.scopedDiscard(
  Effect.gen(function*() {
    const supervisor = yield* Supervisor
    const runOnce = yield* make
    yield* supervisor.supervise(
      "AutoHealing",
      Effect.repeat(runOnce, Schedule.spaced(interval).pipe(Schedule.jittered)).pipe(Effect.zipRight(Effect.never))
    )
  })
)

/** Looks at all whose turn it is. */
export const make = Effect.gen(function*() {
  const store = yield* HealingStore
  const probe = yield* Probe
  const signals = yield* Signals

  const reactivate = (patient: Patient) =>
    Effect.gen(function*() {
      if (!(yield* store.reactivate(patient))) return
      const { clientId, id, looks } = patient
      yield* Effect.logInfo("webhook switched on: it answers again", { webhookId: id, clientId, looks })
      yield* PubSub.publish(signals, Signal.WebhookReactivated({ webhookId: id }))
      yield* PubSub.publish(signals, Signal.WorkArrived({ webhookIds: [id] }))
      yield* PubSub.publish(signals, Signal.OutboxFilled())
    })

  const giveUp = (patient: Patient) =>
    Effect.gen(function*() {
      if (!(yield* store.giveUp(patient))) return
      const { clientId, id, looks } = patient
      yield* Effect.logWarning("webhook left off: its endpoint says that it is gone", {
        webhookId: id,
        clientId,
        looks
      })
      yield* PubSub.publish(signals, Signal.OutboxFilled())
    })

  const look = (patient: Patient) =>
    Effect.gen(function*() {
      const { errorClass, result } = yield* Effect.withTracerEnabled(probe.ping(patient), true)
      if (result === "success") return yield* reactivate(patient)
      if (errorClass === "http_410") return yield* giveUp(patient)
      yield* store.postpone(patient, pauseMs(patient.looks, yield* Random.next))
    }).pipe(
      // A bug that one webhook brings out is not to keep the others from being looked at.
      Effect.catchAllDefect((defect) => Effect.logError("a look at a webhook died", defect)),
      Effect.annotateLogs({ webhookId: patient.id })
    )

  const some = Effect.gen(function*() {
    const patients = yield* store.take(concurrency)
    yield* Effect.forEach(patients, look, { concurrency, discard: true })
    return patients.length
  })

  return Effect.repeat(some, { while: (looked) => looked === concurrency }).pipe(
    Effect.catchTag(
      "PersistenceError",
      (error) => Effect.logWarning("looking after webhooks failed, the next round tries again", error)
    ),
    Effect.asVoid,
    Effect.withTracerEnabled(false)
  )
})
