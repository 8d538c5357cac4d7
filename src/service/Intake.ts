/** The verbs that take events in: all of them end in one commit. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as LogLevel from "effect/LogLevel"
import * as PubSub from "effect/PubSub"
import { type Caller, reach } from "../domain/Client.ts"
import type { Published } from "../domain/Event.ts"
import { type EventTypeName, testType } from "../domain/EventType.ts"
import type { ClientId, WebhookId } from "../domain/Ids.ts"
import type { JsonObject } from "../domain/Json.ts"
import { Conflict, type Forbidden, type Invalid, type NotFound, type TooLarge } from "../domain/Refusal.ts"
import { type AtOnce, atOnce, goOn } from "../persistence/AtOnce.ts"
import type { Stored } from "../persistence/Committed.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import type { PublishRequest } from "../persistence/PublishRequest.ts"
import { WebhookStore } from "../persistence/WebhookStore.ts"
import * as AttemptMetrics from "../telemetry/AttemptMetrics.ts"
import * as Logs from "../telemetry/Logs.ts"
import { Signal, Signals } from "../telemetry/Signals.ts"
import * as Spans from "../telemetry/Spans.ts"
import * as Tracing from "../telemetry/Tracing.ts"
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
      // The one that runs for every event: as few steps as there can be.
      publish: (caller, event, key) =>
        Tracing.spanned("WebhookService.publish", (fiber): Effect.Effect<Receipt, PublishRefused> => {
          const allowed = Either.flatMap(authorize(caller, "publish"), () => Publishing.refuseReserved([event]))
          if (Either.isLeft(allowed)) return Effect.fail(allowed.left)
          return goOn(
            knownClient(caller, event.clientId).inFiber(fiber),
            (clientId) => commit(clientId, [event], { key, ...single }, only).inFiber(fiber)
          )
        }),
      publishBatch: Effect.fn("WebhookService.publishBatch")(function*(caller, batch, key) {
        yield* authorize(caller, "publish")
        yield* Publishing.refuseReserved(batch)
        yield* Publishing.refuseMixedClients(batch)
        const clientId = yield* knownClient(caller, batch[0].clientId)
        const asked = { key, kind: "batch", target: null, notice: null } as const
        return yield* commit(clientId, batch, asked, Effect.succeed)
      }),
      notify: Effect.fn("WebhookService.notify")(function*(clientId, { about, ...event }, key) {
        const asked = { key, ...single, notice: { about } }
        return yield* commit(clientId, [event], asked, only)
      }),
      test: Effect.fn("WebhookService.test")(function*(caller, id, { eventType, payload }) {
        yield* authorize(caller, "write")
        const webhook = yield* Effect.flatMap(webhooks.find(reach(caller), id), found("webhook", id))
        if (!webhook.isActive) return yield* inactive(id)
        const event: EventInput = {
          eventType: eventType ?? testType,
          payload: payload ?? { message: "This is a test." }
        }
        const asked = { key: undefined, ...single, target: id }
        return yield* commit(webhook.clientId, [event], asked, only)
      })
    }
    return verbs
  })

interface CommitRequest extends Pick<PublishRequest, "target" | "notice"> {
  readonly key: string | undefined
  readonly kind: "single" | "batch"
}

/** One event of a platform's, for whoever wants it. */
const single = { kind: "single", target: null, notice: null } as const

const only = ([receipt]: ReadonlyArray<Receipt>): Effect.Effect<Receipt> =>
  receipt === undefined ? Effect.dieMessage("a committed event has an answer") : Effect.succeed(receipt)

const makeCommit = (limits: { readonly payloadBytesMax: number }) =>
  Effect.gen(function*() {
    const prepare = yield* Publishing.makePrepare(limits)
    const { commit } = yield* Commit
    const signals = yield* Signals

    const announce = (clientId: ClientId, inputs: ReadonlyArray<EventInput>, stored: Stored): AtOnce<unknown, never> =>
      atOnce((fiber) => {
        count(inputs, stored)
        const { published, waiting } = stored
        // Mostly nobody is to be told.
        const told: Array<Effect.Effect<unknown>> = []
        if (waiting.length > 0) told.push(PubSub.publish(signals, Signal.WorkArrived({ webhookIds: waiting })))
        if (Tracing.isWithinRecorded(fiber)) told.push(Spans.eventsPrepared(inputs, published))
        if (Logs.isWanted(fiber, LogLevel.Info)) told.push(queued(clientId, inputs, published))
        const [first = Effect.void, ...others] = told
        return others.length === 0 ? first : Effect.all(told, { discard: true })
      })

    // `answer` makes of the receipts what the verb answers, within the same step.
    return <A>(
      clientId: ClientId,
      inputs: readonly [EventInput, ...ReadonlyArray<EventInput>],
      { key, kind, notice, target }: CommitRequest,
      answer: (receipts: ReadonlyArray<Receipt>) => Effect.Effect<A>
    ): AtOnce<A, Conflict | Invalid | PersistenceError | TooLarge> =>
      atOnce((fiber): Effect.Effect<A, Conflict | Invalid | PersistenceError | TooLarge> => {
        const idempotency = Publishing.idempotency(key, inputs, kind)
        if (Either.isLeft(idempotency)) return Effect.fail(idempotency.left)
        return goOn(prepare(inputs).inFiber(fiber), (events) =>
          commit({ clientId, events, idempotency: idempotency.right, target, notice }).pipe(
            Effect.catchTag("IdempotencyConflict", Publishing.keyReused),
            Effect.flatMap((stored) => {
              // A repeated request is answered with the ids of the first one: nothing is new.
              const replayed = stored.published[0]?.eventId !== events[0].id
              const receipts = stored.published.map((one): Receipt => ({ ...one, replayed }))
              return replayed
                ? answer(receipts)
                : goOn(announce(clientId, inputs, stored).inFiber(fiber), () =>
                  answer(receipts))
            })
          ))
      })
  })

const inactive = (id: WebhookId) =>
  new Conflict({
    code: "webhook_inactive",
    message:
      `Webhook ${id} is switched off: a test delivery would wait until it is switched on. Switch it on, or ping it.`
  })

const queued = (clientId: ClientId, inputs: ReadonlyArray<EventInput>, published: ReadonlyArray<Published>) =>
  Effect.forEach(published, ({ deliveries, eventId }, index) =>
    Effect.logInfo("event queued", {
      eventId,
      eventType: inputs[index]?.eventType,
      clientId,
      deliveries: deliveries.length
    }), { discard: true })

/** Counts the deliveries of each event type, and those that an open circuit makes wait. */
const count = (inputs: ReadonlyArray<EventInput>, { circuitOpen, published }: Stored): void => {
  published.forEach(({ deliveries }, index) => {
    const eventType = inputs[index]?.eventType ?? "other"
    AttemptMetrics.observePublished(eventType, deliveries.length)
    // Mostly none waits.
    if (circuitOpen.length === 0) return
    for (const { webhookId } of deliveries) {
      if (circuitOpen.includes(webhookId)) AttemptMetrics.observeHeld(webhookId, eventType)
    }
  })
}
