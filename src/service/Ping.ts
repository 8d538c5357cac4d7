/** A ping: `webhook.ping` sent at once and outside of all queues, so that an owner sees what came of it. */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { type Caller, reach } from "../domain/Client.ts"
import type { Attempt } from "../domain/Delivery.ts"
import type { DeliveryFailure } from "../domain/DeliveryError.ts"
import * as Event from "../domain/Event.ts"
import { pingType } from "../domain/EventType.ts"
import * as Ids from "../domain/Ids.ts"
import type { WebhookId } from "../domain/Ids.ts"
import type { Forbidden, NotFound } from "../domain/Refusal.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import { WebhookStore } from "../persistence/WebhookStore.ts"
import * as CanonicalJson from "../signing/CanonicalJson.ts"
import * as Spans from "../telemetry/Spans.ts"
import { authorize, found } from "./Access.ts"
import { Courier } from "./Courier.ts"
import * as Rotation from "./Rotation.ts"

export interface Ping {
  /** Sends `webhook.ping` now and answers what came of it. It leaves no row. */
  readonly ping: (caller: Caller, id: WebhookId) => Effect.Effect<Attempt, Forbidden | NotFound | PersistenceError>
}

export const make = Effect.gen(function*() {
  const courier = yield* Courier
  const webhooks = yield* WebhookStore

  const ping: Ping["ping"] = Effect.fn("WebhookService.ping")(function*(caller, id) {
    yield* authorize(caller, "write")
    const webhook = yield* Effect.flatMap(webhooks.find(reach(caller), id), found("webhook", id))
    const eventId = yield* Ids.make("EventId")
    const occurredAt = yield* DateTime.now
    const body = Event.envelope({ id: eventId, eventType: pingType, occurredAt, payload: { webhook_id: id } })
    const attemptId = yield* Ids.make("AttemptId")
    const parcel = {
      ...webhook,
      previousSecretSealed: Rotation.isUnderWay(webhook) ? webhook.previousSecretSealed : null,
      webhookId: id,
      deliveryId: yield* Ids.make("DeliveryId"),
      eventType: pingType,
      body: CanonicalJson.stringify(body)
    }
    const startedAt = DateTime.unsafeMake(yield* Clock.currentTimeMillis)
    return yield* courier.deliver(parcel).pipe(
      Effect.match({
        onFailure: (failure): Attempt => ({ id: attemptId, number: 1, startedAt, ...failed(failure) }),
        onSuccess: (exchange): Attempt => ({
          id: attemptId,
          number: 1,
          startedAt,
          result: "success",
          errorClass: null,
          errorMessage: null,
          exchange
        })
      }),
      Spans.healthCheck(webhook)
    )
  })
  return { ping }
})

const failed = (failure: DeliveryFailure) => ({
  result: failure._tag === "PermanentFailure" ? "failure_permanent" as const : "failure_retryable" as const,
  errorClass: failure.class,
  errorMessage: failure.message,
  exchange: failure.exchange
})
