/**
 * The spans of the service under the names its operators know. A span's start, end and recorded exception stand for the
 * `start`, `stop` and `exception` of an event.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import type { Published } from "../domain/Event.ts"
import type { ClientId, DeliveryId, WebhookId } from "../domain/Ids.ts"
import * as TraceContext from "./TraceContext.ts"
import * as Tracing from "./Tracing.ts"

/** A change of a webhook's definition; the effect answers the webhook. */
export const definition =
  (change: "created" | "updated" | "deleted", id: WebhookId) =>
  <A extends { readonly clientId: ClientId }, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    self.pipe(
      Effect.tap(({ clientId }) => Effect.annotateCurrentSpan("client_id", clientId)),
      Effect.withSpan(`deeper_hub.webhooks.definition.${change}`, {
        captureStackTrace: false,
        attributes: { webhook_id: id }
      })
    )

/** One for each delivery of committed events, where the request that published them is recorded. */
export const eventsPrepared = (
  events: ReadonlyArray<{ readonly eventType: string }>,
  published: ReadonlyArray<Published>
): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => {
    const parent = Tracing.parentOf(fiber)
    return parent === null || !parent.sampled ? Effect.void : prepared(events, published, Option.some(parent))
  })

const prepared = (
  events: ReadonlyArray<{ readonly eventType: string }>,
  published: ReadonlyArray<Published>,
  parent: Option.Option<Tracer.AnySpan>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const tracer = yield* Effect.tracer
    const now = yield* Clock.currentTimeNanos
    for (const [index, { deliveries, eventId }] of published.entries()) {
      for (const { webhookId } of deliveries) {
        const name = "deeper_hub.webhooks.event.prepared_for_dispatch"
        const span = tracer.span(name, parent, Context.empty(), [], now, "producer")
        span.attribute("webhook_id", webhookId)
        span.attribute("event_id", eventId)
        span.attribute("event_type", events[index]?.eventType)
        span.end(now, Exit.void)
      }
    }
  })

/** The span of an attempt that is recorded; null where it is not. */
export type AttemptSpan = Tracer.Span | null

export interface AttemptStart {
  readonly id: DeliveryId
  readonly url: string
  readonly number: number
  /** Of the event's publisher: it is linked, for the attempt is made long after the publisher has its answer. */
  readonly traceparent: string | null
}

/** Opens the span of one attempt at a time in nanoseconds, with the tracer of whoever asks for this. */
export const attempts: Effect.Effect<(delivery: AttemptStart, now: bigint) => AttemptSpan> = Effect.gen(function*() {
  if (!(yield* Tracing.isOn)) return () => null
  const tracer = yield* Effect.tracer
  return (delivery: AttemptStart, now: bigint) => {
    const links = Option.match(TraceContext.parse(delivery.traceparent), {
      onNone: () => [],
      onSome: (span) => [{ _tag: "SpanLink" as const, span, attributes: {} }]
    })
    const span = tracer.span(
      "deeper_hub.webhooks.dispatch.attempt",
      Option.none(),
      Context.empty(),
      links,
      now,
      "client"
    )
    if (!span.sampled) return null
    span.attribute("webhook_event_id", delivery.id)
    // The URL's query and credentials may be secrets: they stay out.
    span.attribute("webhook_url", withoutSecrets(delivery.url))
    span.attribute("attempt_number", delivery.number)
    return span
  }
})

export interface AttemptEnd {
  readonly status: number | null
  readonly result: "success" | "failure_retryable" | "failure_permanent"
}

/** Ends the attempt's span with what came of it: a failure is its exception. */
export const ends = <A, E>(
  span: AttemptSpan,
  end: (exit: Exit.Exit<A, E>) => AttemptEnd
) =>
<R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  span === null ? self : Effect.onExit(
    within(span)(self),
    (exit) =>
      Effect.map(Clock.currentTimeNanos, (now) => {
        const { result, status } = end(exit)
        if (status !== null) span.attribute("http_status", status)
        span.attribute("result", result)
        span.end(now, exit)
      })
  )

/** What is logged and traced here belongs to the attempt, also after its end. */
export const within = (span: AttemptSpan) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  span === null ? self : Effect.withParentSpan(self, span) as Effect.Effect<A, E, R>

/** A ping, by hand or periodic. */
export const healthCheck =
  (webhook: { readonly id: WebhookId; readonly url: string }) =>
  <A extends { readonly result: string }, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    self.pipe(
      Effect.tap(({ result }) => Effect.annotateCurrentSpan("result", result === "success" ? "healthy" : "unhealthy")),
      Effect.withSpan("deeper_hub.webhooks.health_check.performed", {
        captureStackTrace: false,
        attributes: { webhook_id: webhook.id, url: withoutSecrets(webhook.url) }
      })
    )

/** A URL as it may be shown to anybody. */
export const withoutSecrets = (href: string): string => {
  if (!URL.canParse(href)) return ""
  const { host, pathname, protocol } = new URL(href)
  return `${protocol}//${host}${pathname}`
}
