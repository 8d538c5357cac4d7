/**
 * Sends `webhook.ping` to an endpoint, outside of all queues: for its owner who asks, for AutoHealing, and for the
 * periodic checks. What came of it is written down as the webhook's latest check; it is no attempt of a delivery.
 */
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Exchange } from "../domain/Attempt.ts"
import type { Attempt } from "../domain/Delivery.ts"
import type { DeliveryFailure } from "../domain/DeliveryError.ts"
import * as Event from "../domain/Event.ts"
import { pingType } from "../domain/EventType.ts"
import * as Ids from "../domain/Ids.ts"
import { HealthStore, type PingTarget } from "../persistence/HealthStore.ts"
import * as CanonicalJson from "../signing/CanonicalJson.ts"
import * as Spans from "../telemetry/Spans.ts"
import { Courier } from "./Courier.ts"

/** As an attempt, of which there is always an exchange to show. */
export interface Pinged extends Attempt {
  readonly exchange: Exchange
}

export class Probe extends Context.Tag("deeper-hub-webhooks/service/Probe")<Probe, {
  /** A database that is away leaves the check unwritten; what came of the ping is answered all the same. */
  readonly ping: (target: PingTarget) => Effect.Effect<Pinged>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function*() {
      const courier = yield* Courier
      const health = yield* HealthStore

      const write = (target: PingTarget, { errorClass, exchange, result }: Pinged) =>
        health.record({
          target,
          result: result === "success" ? "healthy" : "unhealthy",
          errorClass,
          certificateExpiresAt: exchange.certificateExpiresAt
        }).pipe(
          Effect.catchTag("PersistenceError", (error) => Effect.logWarning("a check's result was not written", error))
        )

      return Probe.of({
        ping: (target) =>
          Effect.gen(function*() {
            const names = { id: yield* Ids.make("AttemptId"), number: 1, startedAt: yield* DateTime.now }
            const pinged = yield* Effect.match(courier.deliver(yield* parcel(target), null), {
              onFailure: failed,
              onSuccess: succeeded
            })
            return { ...names, ...pinged }
          }).pipe(Spans.healthCheck(target), Effect.tap((pinged) => write(target, pinged)))
      })
    })
  )
}

const parcel = (target: PingTarget) =>
  Effect.gen(function*() {
    const id = yield* Ids.make("EventId")
    const occurredAt = yield* DateTime.now
    const body = Event.envelope({ id, eventType: pingType, occurredAt, payload: { webhook_id: target.id } })
    return {
      ...target,
      webhookId: target.id,
      id: yield* Ids.make("DeliveryId"),
      eventType: pingType,
      body: CanonicalJson.stringify(body)
    }
  })

const succeeded = (exchange: Exchange) => ({
  result: "success" as const,
  errorClass: null,
  errorMessage: null,
  exchange
})

const failed = (failure: DeliveryFailure) => ({
  result: failure._tag === "PermanentFailure" ? "failure_permanent" as const : "failure_retryable" as const,
  errorClass: failure.class,
  errorMessage: failure.message,
  exchange: failure.exchange
})
