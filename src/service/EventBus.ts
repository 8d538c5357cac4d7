/**
 * The way in for the program around us: it publishes on the bus, the EventListener hands the event to WebhookService,
 * and subscribers within the process see it once it is committed.
 */
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { Published } from "../domain/Event.ts"
import { isSubscribed } from "../domain/EventType.ts"
import type { Refusal } from "../domain/Refusal.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import * as TraceContext from "../telemetry/TraceContext.ts"

/** A committed event, as in-process subscribers see it. */
export interface BusEvent {
  readonly clientId: string
  readonly eventType: string
  /** As it was published: in it nothing is redacted. */
  readonly payload: Readonly<Record<string, unknown>>
  readonly published: Published
}

export type PublishFailure = PersistenceError | Refusal

export interface PublishOptions {
  /** The client whose webhooks are meant; `default` where absent. */
  readonly clientId?: string | undefined
  /** When it happened; now where absent. */
  readonly occurredAt?: DateTime.Utc | undefined
  /** A repetition with the same key and payload answers the same and publishes nothing. */
  readonly idempotencyKey?: string | undefined
}

/** A publisher's event on its way to the EventListener, and where its answer is awaited. */
export interface BusRequest extends PublishOptions {
  readonly eventType: string
  readonly payload: Readonly<Record<string, unknown>>
  /** Of the span in which the program published. */
  readonly traceparent: string | undefined
  readonly answer: Deferred.Deferred<Published, PublishFailure>
}

/** The bus as the EventListener sees it: what publishers wait for, and where committed events are announced. */
export class EventBusPort extends Context.Tag("deeper-hub-webhooks/service/EventBus/EventBusPort")<EventBusPort, {
  readonly requests: Queue.Queue<BusRequest>
  readonly committed: PubSub.PubSub<BusEvent>
}>() {
  static readonly layer = Layer.scoped(
    this,
    Effect.all({
      requests: Effect.acquireRelease(Queue.bounded<BusRequest>(1_024), Queue.shutdown),
      committed: Effect.acquireRelease(PubSub.sliding<BusEvent>(1_024), PubSub.shutdown)
    })
  )
}

export class EventBus extends Context.Tag("deeper-hub-webhooks/service/EventBus")<EventBus, {
  /** Answers once the event and its deliveries are committed. */
  readonly publish: (
    eventType: string,
    payload: Readonly<Record<string, unknown>>,
    options?: PublishOptions
  ) => Effect.Effect<Published, PublishFailure>
  /**
   * Committed events whose type matches any of the subscriptions (`deal.won`, `deal.*`, `*`), from now on. A subscriber
   * that falls more than 1,024 events behind loses the oldest: what must not be missed belongs behind a webhook.
   */
  readonly subscribe: (...subscriptions: ReadonlyArray<string>) => Stream.Stream<BusEvent>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.map(EventBusPort, ({ committed, requests }) => ({
      publish: (eventType, payload, options = {}) =>
        Effect.gen(function*() {
          const answer = yield* Deferred.make<Published, PublishFailure>()
          const traceparent = (yield* TraceContext.current) ?? undefined
          yield* Queue.offer(requests, { ...options, eventType, payload, traceparent, answer })
          return yield* Deferred.await(answer)
        }),
      subscribe: (...subscriptions) =>
        Stream.filter(Stream.fromPubSub(committed), ({ eventType }) => isSubscribed(subscriptions, eventType))
    }))
  )
}
