/** Something that happened once: its type, its payload, its time. And the envelope a receiver finds it in. */
import type * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import { EventTypeName } from "./EventType.ts"
import { ClientId, DeliveryId, EventId, WebhookId } from "./Ids.ts"
import type { JsonObject } from "./Json.ts"
import * as Moment from "./Moment.ts"

/** What the publisher learns once the event and its deliveries are committed. */
export const Published = Schema.Struct({
  eventId: EventId,
  deliveries: Schema.Array(Schema.Struct({ id: DeliveryId, webhookId: WebhookId }))
})
export type Published = typeof Published.Type

/** A committed event, as it is listed. */
export const Event = Schema.Struct({
  id: EventId,
  clientId: ClientId,
  eventType: EventTypeName,
  occurredAt: Schema.DateTimeUtcFromSelf,
  createdAt: Schema.DateTimeUtcFromSelf
})
export interface Event extends Schema.Schema.Type<typeof Event> {}

/** The body of the POST, before it is written canonically. */
export const envelope = (event: {
  readonly id: EventId
  readonly eventType: EventTypeName
  readonly occurredAt: DateTime.Utc
  readonly payload: JsonObject
}): JsonObject => ({
  created_at: Moment.write(event.occurredAt),
  data: event.payload,
  event_id: event.id,
  event_type: event.eventType
})
