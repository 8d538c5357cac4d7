/**
 * A delivery: one event on its way to one webhook.
 *
 * ```
 *            ┌───────────── delivered ◀──────────┐
 *            ▼ by hand                           │ 2xx
 *   publish ─▶ pending ──────────────────────────┤
 *            ▲   │ retryable                     │
 *    by hand │   ▼                               │
 *            ├─ failed_retryable ─ when due ─────┤
 *            │                                   │ permanent, or attempts used up
 *            └───────── failed_permanent ◀───────┘
 * ```
 */
import * as Schema from "effect/Schema"
import { Exchange } from "./Attempt.ts"
import { ErrorClass } from "./DeliveryError.ts"
import { EventTypeName } from "./EventType.ts"
import { AttemptId, ClientId, DeliveryId, EventId, WebhookId } from "./Ids.ts"

export const DeliveryStatus = Schema.Literal("pending", "delivered", "failed_retryable", "failed_permanent")
export type DeliveryStatus = typeof DeliveryStatus.Type

/** Why a delivery that is due waits without spending attempts: its webhook is switched off, or its circuit open. */
const Hold = Schema.Literal("deactivated", "circuit")

/** What can happen to a delivery: an attempt's outcome, or its owner's wish to have it sent again. */
export type Occurrence = "succeeded" | "failed_retryable" | "failed_permanent" | "retried_by_hand"

const transitions: Record<DeliveryStatus, Partial<Record<Occurrence, DeliveryStatus>>> = {
  pending: {
    succeeded: "delivered",
    failed_retryable: "failed_retryable",
    failed_permanent: "failed_permanent",
    retried_by_hand: "pending"
  },
  failed_retryable: {
    succeeded: "delivered",
    failed_retryable: "failed_retryable",
    failed_permanent: "failed_permanent",
    retried_by_hand: "pending"
  },
  delivered: { retried_by_hand: "pending" },
  failed_permanent: { retried_by_hand: "pending" }
}

/** The status that follows, or null where the occurrence is not legal in this status. */
export const transition = (status: DeliveryStatus, occurrence: Occurrence): DeliveryStatus | null =>
  transitions[status][occurrence] ?? null

/** Statuses in which the service still has work to do. */
export const isOpen = (status: DeliveryStatus): boolean => transition(status, "succeeded") !== null

export const Delivery = Schema.Struct({
  id: DeliveryId,
  webhookId: WebhookId,
  clientId: ClientId,
  eventId: EventId,
  eventType: EventTypeName,
  status: DeliveryStatus,
  hold: Schema.NullOr(Hold),
  attemptCount: Schema.Int,
  nextRetryAt: Schema.NullOr(Schema.DateTimeUtcFromSelf),
  lastResponseCode: Schema.NullOr(Schema.Int),
  lastResponseBodySample: Schema.NullOr(Schema.String),
  errorClass: Schema.NullOr(ErrorClass),
  errorMessage: Schema.NullOr(Schema.String),
  createdAt: Schema.DateTimeUtcFromSelf,
  deliveredAt: Schema.NullOr(Schema.DateTimeUtcFromSelf)
})
export interface Delivery extends Schema.Schema.Type<typeof Delivery> {}

export const AttemptResult = Schema.Literal("success", "failure_retryable", "failure_permanent", "outcome_unknown")
export type AttemptResult = typeof AttemptResult.Type

/** One row of a delivery's history. `exchange` is null where nothing is known of the wire: the node died. */
export const Attempt = Schema.Struct({
  id: AttemptId,
  number: Schema.Int,
  result: AttemptResult,
  errorClass: Schema.NullOr(ErrorClass),
  errorMessage: Schema.NullOr(Schema.String),
  startedAt: Schema.DateTimeUtcFromSelf,
  exchange: Schema.NullOr(Exchange)
})
export interface Attempt extends Schema.Schema.Type<typeof Attempt> {}
