/** What a publish asks of the database: events to be stored, and what this node may send of them at once. */
import type { Event } from "../domain/Event.ts"
import type { ClientId, WebhookId } from "../domain/Ids.ts"

/** An event as it is to be stored: `body` is the canonical JSON of its envelope. */
export interface StorableEvent extends Pick<Event, "id" | "eventType" | "occurredAt"> {
  readonly body: string
  /** Where the publisher's trace stands (W3C Trace Context). */
  readonly traceparent?: string | null
}

/** What of the deliveries to come this node may send at once, without claiming them. */
export interface LeaseOffer {
  readonly token: string
  readonly seconds: number
  /** Deliveries in all, and of each webhook. */
  readonly most: number
  readonly mostPerWebhook: number
  /** These may have fewer, or none. */
  readonly limited: ReadonlyArray<{ readonly webhookId: WebhookId; readonly most: number }>
}

/** What one publisher asked for at once: all of it is stored, or nothing. */
export interface PublishRequest {
  readonly clientId: ClientId
  readonly events: readonly [StorableEvent, ...ReadonlyArray<StorableEvent>]
  readonly idempotency: { readonly key: string; readonly requestHash: Uint8Array } | null
  /** Deliver to this webhook alone, whatever it subscribes to. */
  readonly target: WebhookId | null
  /** Of a notice of the service's own: the webhook that it tells of, which is not told. Null of a platform's event. */
  readonly notice: { readonly about: WebhookId | null } | null
}
