/**
 * Facts that the parts announce to each other within one process. Sliding: a slow listener loses the oldest and never
 * slows a delivery, so nothing may depend on hearing every one; the database is where the truth is.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import type { CircuitState } from "../domain/Circuit.ts"
import type { DeliveryStatus } from "../domain/Delivery.ts"
import type { DeliveryId, WebhookId } from "../domain/Ids.ts"

export type Signal = Data.TaggedEnum<{
  /** Deliveries of these webhooks were committed, requeued or released here: there may be work. */
  WorkArrived: { readonly webhookIds: ReadonlyArray<WebhookId> }
  /** The same on another node. None named means that any webhook may have work. */
  WorkAnnounced: { readonly webhookIds: ReadonlyArray<WebhookId> }
  /** An attempt's outcome is on record. */
  AttemptRecorded: {
    readonly deliveryId: DeliveryId
    readonly webhookId: WebhookId
    readonly status: Exclude<DeliveryStatus, "pending">
  }
  /** This process put something into the outbox. */
  OutboxFilled: {}
  CircuitChanged: { readonly webhookId: WebhookId; readonly state: CircuitState }
  /** It was switched off because it kept failing. */
  WebhookDeactivated: { readonly webhookId: WebhookId }
  /** It was switched on because it answers again. */
  WebhookReactivated: { readonly webhookId: WebhookId }
}>
export const Signal = Data.taggedEnum<Signal>()

/** Signals that wait for a slow listener; how many one hears at once at most. */
export const signalsMax = 4_096

export class Signals extends Context.Tag("deeper-hub-webhooks/telemetry/Signals")<Signals, PubSub.PubSub<Signal>>() {
  static readonly layer = Layer.scoped(this, Effect.acquireRelease(PubSub.sliding<Signal>(signalsMax), PubSub.shutdown))
}
