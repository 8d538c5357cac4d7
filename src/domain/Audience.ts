/**
 * Whom an event concerned, and why it went to some webhooks and not to others. What a webhook was when the event was
 * published is worked out from what it is now and from the changes since.
 */
import type * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import { Delivery } from "./Delivery.ts"
import { isReserved, noticePatternsOf, Subscription, subscriptionsTo, testType } from "./EventType.ts"
import type { EventTypeName } from "./EventType.ts"
import { WebhookId } from "./Ids.ts"
import { DeactivationReason } from "./Webhook.ts"

/** What decides whether a webhook gets an event. */
export const Wants = Schema.Struct({
  events: Schema.Array(Subscription),
  deactivationReason: Schema.NullOr(DeactivationReason)
})
export interface Wants extends Schema.Schema.Type<typeof Wants> {}

/** What a change replaced: only the facts that it changed. */
export const Replaced = Schema.Struct({
  events: Schema.optional(Wants.fields.events),
  deactivationReason: Schema.optional(Wants.fields.deactivationReason)
})
export interface Replaced extends Schema.Schema.Type<typeof Replaced> {}

/** What a webhook wanted before these changes, which are those since then, the oldest first. */
export const before = (now: Wants, changes: ReadonlyArray<Replaced>): Wants => ({
  events: changes.find(({ events }) => events !== undefined)?.events ?? now.events,
  deactivationReason: reasonBefore(now, changes)
})

const reasonBefore = (now: Wants, changes: ReadonlyArray<Replaced>): Wants["deactivationReason"] => {
  const oldest = changes.find(({ deactivationReason }) => deactivationReason !== undefined)
  return oldest?.deactivationReason === undefined ? now.deactivationReason : oldest.deactivationReason
}

export const DeliveryFacts = Schema.Struct({
  ...Delivery.pick(
    "id",
    "status",
    "hold",
    "attemptCount",
    "nextRetryAt",
    "errorClass",
    "errorMessage",
    "deliveredAt"
  ).fields,
  isDue: Schema.Boolean,
  isLeased: Schema.Boolean
})
export interface DeliveryFacts extends Schema.Schema.Type<typeof DeliveryFacts> {}

/** A webhook of the event's client: as it is now, and what became of the event on its way to it. */
export const Member = Schema.Struct({
  id: WebhookId,
  name: Schema.NullOr(Schema.String),
  url: Schema.String,
  ...Wants.fields,
  createdAt: Schema.DateTimeUtcFromSelf,
  deletedAt: Schema.NullOr(Schema.DateTimeUtcFromSelf),
  deactivatedAt: Schema.NullOr(Schema.DateTimeUtcFromSelf),
  /** Of a circuit that is not closed: until when nothing is sent. */
  circuitUntil: Schema.NullOr(Schema.DateTimeUtcFromSelf),
  /** When a webhook that was switched off for failures is tried again. */
  healAt: Schema.NullOr(Schema.DateTimeUtcFromSelf),
  delivery: Schema.NullOr(DeliveryFacts)
})
export interface Member extends Schema.Schema.Type<typeof Member> {}

/** What there is to know of the event itself. */
export interface Subject {
  readonly eventType: EventTypeName
  readonly createdAt: DateTime.Utc
  /** Deliveries that it became. */
  readonly deliveries: number
  /** Of a notice: the webhook that it tells of. */
  readonly about: WebhookId | null
}

export const Outcome = Schema.Literal(
  "delivered",
  "in_progress",
  "queued",
  "scheduled",
  "held",
  "failed",
  "deleted",
  "created_later",
  "not_subscribed",
  "switched_off",
  "about_itself",
  "not_addressed",
  "changed_meanwhile"
)
export type Outcome = typeof Outcome.Type

/** What became of a delivery. */
export const outcomeOf = ({ errorClass, hold, isDue, isLeased, status }: DeliveryFacts): Outcome => {
  if (status === "delivered") return "delivered"
  if (status === "failed_permanent") return errorClass === "webhook_deleted" ? "deleted" : "failed"
  if (isLeased) return "in_progress"
  if (hold !== null) return "held"
  return isDue ? "queued" : "scheduled"
}

/** Why a webhook got no delivery, from what it wanted when the event was published. */
export const omissionOf = (event: Subject, member: Member, then: Wants): Outcome => {
  if (member.createdAt.epochMillis > event.createdAt.epochMillis) return "created_later"
  if (event.eventType === testType) return "not_addressed"
  if (event.about === member.id) return "about_itself"
  if (!wanted(event.eventType, then)) return "not_subscribed"
  if (then.deactivationReason === "owner") return "switched_off"
  // Whoever publishes reaches all who want it at once. One alone, of several, is whom somebody sent a test to.
  return event.deliveries === 1 ? "not_addressed" : "changed_meanwhile"
}

/** Whether a webhook that wants these events gets one of this type. Notices have to be asked for by name or prefix. */
export const wanted = (type: EventTypeName, { events }: Wants): boolean =>
  patternsOf(type).some((pattern) => events.includes(pattern))

const patternsOf = (type: EventTypeName): ReadonlyArray<Subscription> =>
  isReserved(type) ? noticePatternsOf(type) : subscriptionsTo(type)
