/**
 * Watches over endpoints by what the outcomes wrote of them: switches off what has been failing for too long, and raises
 * and ends alerts. Any number of nodes may do this at once: what one has in hand the others pass over.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as PubSub from "effect/PubSub"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import { pauseMs } from "../domain/Healing.ts"
import {
  type AlertRules,
  type Deactivated,
  type DeactivationRule,
  EndpointStore
} from "../persistence/EndpointStore.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { Signal, Signals } from "../telemetry/Signals.ts"
import { Supervisor } from "./Supervisor.ts"

export interface MonitorOptions {
  readonly autoDeactivation: DeactivationRule & { readonly enabled: boolean }
  readonly alerts: AlertRules
}

/** How endpoints do changes with every attempt; what expires does so on a day. */
const conductInterval = "5 seconds"
const expiryInterval = "1 minute"

export const layer = (options: MonitorOptions) =>
  Layer.scopedDiscard(
    Effect.gen(function*() {
      const supervisor = yield* Supervisor
      const { watchConduct, watchExpiry } = yield* make(options)
      const conduct = Effect.repeat(watchConduct, Schedule.spaced(conductInterval).pipe(Schedule.jittered))
      const expiry = Effect.repeat(watchExpiry, Schedule.spaced(expiryInterval).pipe(Schedule.jittered))
      yield* supervisor.supervise(
        "Monitor",
        Effect.zipRight(Effect.zip(conduct, expiry, { concurrent: true }), Effect.never)
      )
    })
  )

/** One round each. */
export const make = ({ alerts, autoDeactivation }: MonitorOptions) =>
  Effect.gen(function*() {
    const store = yield* EndpointStore
    const signals = yield* Signals

    const announce = ({ clientId, failingMinutes, failureCount, webhookId }: Deactivated) =>
      Effect.gen(function*() {
        yield* Metric.increment(
          Metric.tagged(Metrics.deactivated, "webhook_id_masked", Metrics.webhookTag(webhookId))
        )
        yield* Effect.logWarning("webhook switched off: it kept failing", {
          webhookId,
          clientId,
          failureCount,
          failingMinutes
        })
        yield* PubSub.publish(signals, Signal.WebhookDeactivated({ webhookId }))
      })

    /** Of so many webhooks there may be a notice on its way. */
    const told = (webhooks: number) => Effect.when(PubSub.publish(signals, Signal.OutboxFilled()), () => webhooks > 0)

    const deactivate = Effect.gen(function*() {
      const healMs = pauseMs(0, yield* Random.next)
      const deactivated = yield* store.deactivateFailing({ ...autoDeactivation, healMs })
      yield* Effect.forEach(deactivated, announce, { discard: true })
      yield* told(deactivated.length)
      return deactivated.length
    }).pipe(Effect.repeat({ while: (count) => count > 0 }))

    return {
      watchConduct: round(Effect.zipRight(
        Effect.when(deactivate, () => autoDeactivation.enabled),
        Effect.flatMap(store.judgeConduct(alerts), told)
      )),
      watchExpiry: round(Effect.flatMap(store.judgeExpiry(alerts), told))
    }
  })

const round = (self: Effect.Effect<void, PersistenceError>): Effect.Effect<void> =>
  self.pipe(
    Effect.catchTag("PersistenceError", (error) =>
      Effect.logWarning("watching over endpoints failed, the next round tries again", error)),
    // Idle rounds would flood the traces.
    Effect.withTracerEnabled(false)
  )
