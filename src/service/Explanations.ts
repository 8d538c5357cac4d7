/** For an event and each webhook of its client: what happened, or why nothing did. */
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Audience from "../domain/Audience.ts"
import { type Caller, reach } from "../domain/Client.ts"
import type { Delivery } from "../domain/Delivery.ts"
import type { ErrorClass } from "../domain/DeliveryError.ts"
import type { Event } from "../domain/Event.ts"
import { type DeliveryId, type EventId, WebhookId } from "../domain/Ids.ts"
import type { Page, PageRequest } from "../domain/Page.ts"
import * as Reasons from "../domain/Reasons.ts"
import type { Forbidden, NotFound } from "../domain/Refusal.ts"
import { AudienceStore } from "../persistence/AudienceStore.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import { authorize, found } from "./Access.ts"

export interface Explained {
  readonly webhookId: WebhookId
  readonly name: string | null
  readonly url: string
  readonly outcome: Audience.Outcome
  /** One sentence for the webhook's owner. */
  readonly reason: string
  /** Null where it got no delivery, and so is what follows. */
  readonly deliveryId: DeliveryId | null
  readonly hold: Delivery["hold"]
  readonly nextRetryAt: DateTime.Utc | null
  readonly attempts: number
  readonly lastErrorClass: ErrorClass | null
  readonly deliveredAt: DateTime.Utc | null
}

export interface Explanation {
  readonly event: Event
  readonly webhooks: Page<Explained>
}

export class Explanations extends Context.Tag("deeper-hub-webhooks/service/Explanations")<Explanations, {
  readonly ofEvent: (
    caller: Caller,
    id: EventId,
    page: PageRequest
  ) => Effect.Effect<Explanation, Forbidden | NotFound | PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.map(AudienceStore, (store) =>
      Explanations.of({
        ofEvent: Effect.fn("Explanations.ofEvent")(function*(caller, id, page) {
          yield* authorize(caller, "read")
          const { deliveries, notice, ...event } = yield* Effect.flatMap(
            store.event(reach(caller), id),
            found("event", id)
          )
          const members = yield* store.members(event.clientId, id, page)
          const passedOver = members.data.filter(({ delivery }) => delivery === null).map((member) => member.id)
          const changes = yield* store.changes(event.clientId, passedOver, event.createdAt)
          const subject = { ...event, deliveries, about: aboutOf(notice) }
          const data = members.data.map((member) => explain(subject, member, changes.get(member.id) ?? []))
          return { event, webhooks: { ...members, data } }
        })
      }))
  )
}

const isWebhookId = Schema.decodeUnknownOption(WebhookId)
const aboutOf = (notice: { readonly data: { readonly webhook_id?: unknown } } | null): WebhookId | null =>
  Option.getOrNull(isWebhookId(notice?.data.webhook_id))

const explain = (
  event: Audience.Subject,
  member: Audience.Member,
  changes: ReadonlyArray<Audience.Replaced>
): Explained => {
  const { delivery, id, name, url } = member
  const webhook = { webhookId: id, name, url }
  if (delivery === null) {
    const then = Audience.before(member, changes)
    const outcome = Audience.omissionOf(event, member, then)
    return { ...webhook, outcome, reason: Reasons.omission(outcome, event, member, then), ...nothing }
  }
  const outcome = Audience.outcomeOf(delivery)
  return {
    ...webhook,
    outcome,
    reason: Reasons.delivery(outcome, delivery, member),
    deliveryId: delivery.id,
    hold: delivery.hold,
    nextRetryAt: delivery.nextRetryAt,
    attempts: delivery.attemptCount,
    lastErrorClass: delivery.errorClass,
    deliveredAt: delivery.deliveredAt
  }
}

const nothing = {
  deliveryId: null,
  hold: null,
  nextRetryAt: null,
  attempts: 0,
  lastErrorClass: null,
  deliveredAt: null
}
