/** The verbs that take events in: all of them end in one commit. */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as PubSub from "effect/PubSub"
import { type Caller, reach } from "../domain/Client.ts"
import type { Published } from "../domain/Event.ts"
import { type EventTypeName, testType } from "../domain/EventType.ts"
import type { ClientId, WebhookId } from "../domain/Ids.ts"
import type { JsonObject } from "../domain/Json.ts"
import { Conflict, type Forbidden, type Invalid, type NotFound, type TooLarge } from "../domain/Refusal.ts"
import type { EventTypeStore } from "../persistence/EventTypeStore.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import type { PublishRequest } from "../persistence/Publish.ts"
import { WebhookStore } from "../persistence/WebhookStore.ts"
import * as AttemptMetrics from "../telemetry/AttemptMetrics.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { Signal, Signals } from "../telemetry/Signals.ts"
import * as Spans from "../telemetry/Spans.ts"
import { authorize, found, makeKnownClient } from "./Access.ts"
import { Commit } from "./Commit.ts"
import * as Publishing from "./Publishing.ts"
import type { EventInput } from "./Publishing.ts"

type PublishRefused = Conflict | Forbidden | Invalid | NotFound | PersistenceError | TooLarge

/** What a publisher learns; `replayed` where its idempotency key had been answered before. */
export interface Receipt extends Published {
  readonly replayed: boolean
}

export interface Intake {
  /** Durable when it answers: the event, a delivery for each webhook that wants it, and the idempotency record. */
  readonly publish: (
    caller: Caller,
    event: EventInput,
    idempotencyKey?: string
  ) => Effect.Effect<Receipt, PublishRefused>
  /** All of the events or none; they belong to one client. */
  readonly publishBatch: (
    caller: Caller,
    events: readonly [EventInput, ...ReadonlyArray<EventInput>],
    idempotencyKey?: string
  ) => Effect.Effect<ReadonlyArray<Receipt>, PublishRefused>
  /**
   * A notice of the service's own, for the client's webhooks that ask for it by name or prefix; not for `about`, which it
   * tells of. Durable when it answers; a repetition under the same key publishes nothing.
   */
  readonly notify: (
    clientId: ClientId,
    notice: EventInput & { readonly about: WebhookId | null },
    key: string
  ) => Effect.Effect<Receipt, PublishRefused>
  /** A delivery to this webhook alone, through the whole path, whatever it subscribes to. */
  readonly test: (
    caller: Caller,
    id: WebhookId,
    event: { readonly eventType?: EventTypeName | undefined; readonly payload?: JsonObject | undefined }
  ) => Effect.Effect<Published, PublishRefused>
}

export const make = (limits: { readonly payloadBytesMax: number }) =>
  Effect.gen(function*() {
    const commit = yield* makeCommit(limits)
    const webhooks = yield* WebhookStore
    const knownClient = yield* makeKnownClient

    const verbs: Intake = {
      publish: Effect.fn("WebhookService.publish")(function*(caller, event, key) {
        yield* authorize(caller, "publish")
        yield* Publishing.refuseReserved([event])
        const clientId = yield* knownClient(caller, event.clientId)
        const [published] = yield* commit(clientId, [event], { key, kind: "single", target: null, notice: null })
        return published ?? (yield* Effect.dieMessage("a committed event has an answer"))
      }),
      publishBatch: Effect.fn("WebhookService.publishBatch")(function*(caller, batch, key) {
        yield* authorize(caller, "publish")
        yield* Publishing.refuseReserved(batch)
        yield* Publishing.refuseMixedClients(batch)
        const clientId = yield* knownClient(caller, batch[0].clientId)
        return yield* commit(clientId, batch, { key, kind: "batch", target: null, notice: null })
      }),
      notify: Effect.fn("WebhookService.notify")(function*(clientId, { about, ...event }, key) {
        const [published] = yield* commit(clientId, [event], { key, kind: "single", target: null, notice: { about } })
        return published ?? (yield* Effect.dieMessage("a committed event has an answer"))
      }),
      test: Effect.fn("WebhookService.test")(function*(caller, id, { eventType, payload }) {
        yield* authorize(caller, "write")
        const webhook = yield* Effect.flatMap(webhooks.find(reach(caller), id), found("webhook", id))
        if (!webhook.isActive) return yield* inactive(id)
        const event: EventInput = {
          eventType: eventType ?? testType,
          payload: payload ?? { message: "This is a test." }
        }
        const [published] = yield* commit(webhook.clientId, [event], {
          key: undefined,
          kind: "single",
          target: id,
          notice: null
        })
        return published ?? (yield* Effect.dieMessage("a committed event has an answer"))
      })
    }
    return verbs
  })

const makeCommit = (limits: { readonly payloadBytesMax: number }) =>
  Effect.gen(function*() {
    const context = yield* Effect.context<EventTypeStore>()
    const { commit } = yield* Commit
    const signals = yield* Signals
    return (
      clientId: ClientId,
      inputs: readonly [EventInput, ...ReadonlyArray<EventInput>],
      request: {
        readonly key: string | undefined
        readonly kind: "single" | "batch"
        readonly target: WebhookId | null
        readonly notice: PublishRequest["notice"]
      }
    ) =>
      Effect.gen(function*() {
        const idempotency = yield* Publishing.idempotency(request.key, inputs, request.kind)
        const stored = yield* Publishing.prepare(inputs, limits)
        const { circuitOpen, published, waiting } = yield* commit({
          clientId,
          events: stored,
          idempotency,
          target: request.target,
          notice: request.notice
        }).pipe(Effect.catchTag("IdempotencyConflict", Publishing.keyReused))
        // A repeated request is answered with the ids of the first one: nothing is new.
        const replayed = published[0]?.eventId !== stored[0].id
        if (!replayed) {
          yield* count(inputs, published, circuitOpen)
          if (waiting.length > 0) yield* PubSub.publish(signals, Signal.WorkArrived({ webhookIds: waiting }))
          yield* Spans.eventsPrepared(inputs, published)
          yield* Effect.forEach(published, queued(clientId, inputs), { discard: true })
        }
        return published.map(({ deliveries, eventId }): Receipt => ({ eventId, deliveries, replayed }))
      }).pipe(Effect.provide(context))
  })

const inactive = (id: WebhookId) =>
  new Conflict({
    code: "webhook_inactive",
    message:
      `Webhook ${id} is switched off: a test delivery would wait until it is switched on. Switch it on, or ping it.`
  })

const queued =
  (clientId: ClientId, inputs: ReadonlyArray<EventInput>) => ({ deliveries, eventId }: Published, index: number) =>
    Effect.logInfo("event queued", {
      eventId,
      eventType: inputs[index]?.eventType,
      clientId,
      deliveries: deliveries.length
    })

/** Counts the deliveries of each event type, and those that an open circuit makes wait. */
const count = (
  inputs: ReadonlyArray<EventInput>,
  published: ReadonlyArray<Published>,
  circuitOpen: ReadonlyArray<WebhookId>
) =>
  Effect.gen(function*() {
    const waiting = new Set(circuitOpen)
    for (const [index, { deliveries }] of published.entries()) {
      const eventType = inputs[index]?.eventType ?? "other"
      const type = Metrics.eventTypeTag(eventType)
      yield* Metric.incrementBy(Metric.tagged(Metrics.published, "event_type", type), deliveries.length)
      if (waiting.size === 0) continue
      for (const { webhookId } of deliveries) {
        if (waiting.has(webhookId)) AttemptMetrics.observeHeld(webhookId, eventType)
      }
    }
  })
