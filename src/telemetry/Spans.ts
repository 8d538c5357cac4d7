/**
 * The spans of the service under the names its operators know. A span's start, end and recorded exception stand for the
 * `start`, `stop` and `exception` of an event.
 */
import * as Effect from "effect/Effect"
import type { Published } from "../domain/Event.ts"
import type { ClientId, DeliveryId, WebhookId } from "../domain/Ids.ts"

/** A change of a webhook's definition; the effect answers the webhook. */
export const definition =
  (change: "created" | "updated" | "deleted", id: WebhookId) =>
  <A extends { readonly clientId: ClientId }, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    self.pipe(
      Effect.tap(({ clientId }) => Effect.annotateCurrentSpan("client_id", clientId)),
      Effect.withSpan(`deeper_hub.webhooks.definition.${change}`, { attributes: { webhook_id: id } })
    )

/** One for each delivery of a committed event. */
export const eventPrepared =
  (events: ReadonlyArray<{ readonly eventType: string }>) =>
  (published: Published, index: number): Effect.Effect<void> =>
    Effect.forEach(published.deliveries, ({ webhookId }) =>
      Effect.void.pipe(
        Effect.withSpan("deeper_hub.webhooks.event.prepared_for_dispatch", {
          captureStackTrace: false,
          attributes: { webhook_id: webhookId, event_id: published.eventId, event_type: events[index]?.eventType }
        })
      ), { discard: true })

/** One attempt of a delivery. The URL's query and credentials may be secrets: they stay out. */
export const attempt = (delivery: { readonly id: DeliveryId; readonly url: string; readonly number: number }) =>
  Effect.withSpan("deeper_hub.webhooks.dispatch.attempt", {
    captureStackTrace: false,
    attributes: {
      webhook_event_id: delivery.id,
      webhook_url: withoutSecrets(delivery.url),
      attempt_number: delivery.number
    }
  })

/** How the attempt ended, on its span. */
export const attemptEnded = (status: number | null, result: "success" | "failure_retryable" | "failure_permanent") =>
  Effect.annotateCurrentSpan({ ...(status === null ? {} : { http_status: status }), result })

/** A ping, by hand or periodic. */
export const healthCheck =
  (webhook: { readonly id: WebhookId; readonly url: string }) =>
  <A extends { readonly result: string }, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    self.pipe(
      Effect.tap(({ result }) => Effect.annotateCurrentSpan("result", result === "success" ? "healthy" : "unhealthy")),
      Effect.withSpan("deeper_hub.webhooks.health_check.performed", {
        attributes: { webhook_id: webhook.id, url: withoutSecrets(webhook.url) }
      })
    )

/** A URL as it may be shown to anybody. */
export const withoutSecrets = (href: string): string => {
  if (!URL.canParse(href)) return ""
  const { host, pathname, protocol } = new URL(href)
  return `${protocol}//${host}${pathname}`
}
