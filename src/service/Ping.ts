/** The owner's ping: sent at once, and answered with what came of it. */
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import { type Caller, reach } from "../domain/Client.ts"
import type { Attempt } from "../domain/Delivery.ts"
import type { WebhookId } from "../domain/Ids.ts"
import type { Forbidden, NotFound } from "../domain/Refusal.ts"
import { HealthStore } from "../persistence/HealthStore.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import { WebhookStore } from "../persistence/WebhookStore.ts"
import { Signal, Signals } from "../telemetry/Signals.ts"
import { authorize, found } from "./Access.ts"
import { Probe } from "./Probe.ts"
import * as Rotation from "./Rotation.ts"

export interface Ping {
  /**
   * Sends `webhook.ping` now and answers what came of it. Where it succeeds, an open circuit may try now, and a webhook
   * that was switched off for failures is looked at now.
   */
  readonly ping: (caller: Caller, id: WebhookId) => Effect.Effect<Attempt, Forbidden | NotFound | PersistenceError>
}

export const make = Effect.gen(function*() {
  const health = yield* HealthStore
  const probe = yield* Probe
  const signals = yield* Signals
  const webhooks = yield* WebhookStore

  const ping: Ping["ping"] = Effect.fn("WebhookService.ping")(function*(caller, id) {
    yield* authorize(caller, "write")
    const webhook = yield* Effect.flatMap(webhooks.find(reach(caller), id), found("webhook", id))
    const previousSecretSealed = Rotation.isUnderWay(webhook) ? webhook.previousSecretSealed : null
    const pinged = yield* probe.ping({ ...webhook, previousSecretSealed })
    if (pinged.result === "success" && (yield* health.answered(webhook))) {
      yield* PubSub.publish(signals, Signal.WorkArrived({ webhookIds: [id] }))
    }
    return pinged
  })
  return { ping }
})
