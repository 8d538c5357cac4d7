/** The history of deliveries, and sending one again by hand. */
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { type Caller, reach } from "../domain/Client.ts"
import type { Delivery } from "../domain/Delivery.ts"
import type { Event } from "../domain/Event.ts"
import type { ClientId, DeliveryId, EventId, WebhookId } from "../domain/Ids.ts"
import type { Page, PageRequest } from "../domain/Page.ts"
import { Conflict, type Forbidden, type NotFound } from "../domain/Refusal.ts"
import { type DeliveryDetail, type DeliveryFilter, DeliveryHistory } from "../persistence/DeliveryHistory.ts"
import { type EventDetail, type EventFilter, EventStore } from "../persistence/EventStore.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import { WebhookStore } from "../persistence/WebhookStore.ts"
import { Signal, Signals } from "../telemetry/Signals.ts"
import { authorize, found, reachFor } from "./Access.ts"
import { Audit } from "./Audit.ts"
import * as AuditChanges from "./AuditChanges.ts"

type Refused = Forbidden | NotFound | PersistenceError

export class DeliveryLog extends Context.Tag("deeper-hub-webhooks/service/DeliveryLog")<DeliveryLog, {
  readonly ofWebhook: (
    caller: Caller,
    webhook: WebhookId,
    filter: DeliveryFilter,
    page: PageRequest
  ) => Effect.Effect<Page<Delivery>, Refused>
  readonly find: (caller: Caller, id: DeliveryId) => Effect.Effect<DeliveryDetail, Refused>
  /** Makes the delivery due now, with all its attempts before it again. */
  readonly retry: (caller: Caller, id: DeliveryId) => Effect.Effect<void, Refused | Conflict>
  /** The same, and waits for the attempt; answers the delivery as it is then, or as it is when the wait is over. */
  readonly retryAndWait: (
    caller: Caller,
    id: DeliveryId,
    wait: Duration.DurationInput
  ) => Effect.Effect<DeliveryDetail, Refused | Conflict>
  readonly events: (
    caller: Caller,
    filter: EventFilter & { readonly clientId: ClientId | null },
    page: PageRequest
  ) => Effect.Effect<Page<Event>, Refused>
  readonly event: (caller: Caller, id: EventId) => Effect.Effect<EventDetail, Refused>
}>() {
  static readonly layer = Layer.effect(this, Effect.suspend(() => make))
}

const lookAgain = "500 millis"

const make = Effect.gen(function*() {
  const audit = yield* Audit
  const history = yield* DeliveryHistory
  const webhooks = yield* WebhookStore
  const eventStore = yield* EventStore
  const signals = yield* Signals

  const find = (caller: Caller, id: DeliveryId) =>
    Effect.flatMap(history.find(reach(caller), id), found("delivery", id))

  const retry = Effect.fn("DeliveryLog.retry")(function*(caller: Caller, id: DeliveryId) {
    yield* authorize(caller, "write")
    const requeued = Effect.flatMap(history.requeue(reach(caller), id), found("delivery", id)).pipe(
      Effect.filterOrFail((delivery) => delivery.requeued, () => underWay(id))
    )
    const { webhookId } = yield* audit.record(caller, requeued, AuditChanges.deliveryRetried(id))
    yield* PubSub.publish(signals, Signal.WorkArrived({ webhookIds: [webhookId] }))
  })

  return DeliveryLog.of({
    ofWebhook: Effect.fn("DeliveryLog.ofWebhook")(function*(caller, webhook, filter, page) {
      yield* authorize(caller, "read")
      yield* Effect.flatMap(webhooks.find(reach(caller), webhook), found("webhook", webhook))
      return yield* history.list(reach(caller), webhook, { ...filter, from: sinceEpoch(filter.from) }, page)
    }),
    find: (caller, id) => Effect.zipRight(authorize(caller, "read"), find(caller, id)),
    retry,
    retryAndWait: Effect.fn("DeliveryLog.retryAndWait")(function*(caller, id, wait) {
      // Listening before asking: the attempt may be over before the answer is.
      const recorded = yield* Stream.fromPubSub(signals, { scoped: true })
      const { attemptCount } = yield* find(caller, id)
      yield* retry(caller, id)
      // Another node may make the attempt, and no signal tells of that: looking again now and then does.
      yield* recorded.pipe(
        Stream.filter((signal) => signal._tag === "AttemptRecorded" && signal.deliveryId === id),
        Stream.merge(Stream.fromSchedule(Schedule.spaced(lookAgain))),
        Stream.mapEffect(() => find(caller, id)),
        Stream.takeUntil((delivery) => delivery.attemptCount > attemptCount),
        Stream.runDrain,
        Effect.timeoutOption(wait)
      )
      return yield* find(caller, id)
    }, Effect.scoped),
    events: Effect.fn("DeliveryLog.events")(function*(caller, { clientId, ...filter }, page) {
      yield* authorize(caller, "read")
      return yield* eventStore.list(yield* reachFor(caller, clientId), filter, page)
    }),
    event: Effect.fn("DeliveryLog.event")(function*(caller, id) {
      yield* authorize(caller, "read")
      return yield* Effect.flatMap(eventStore.find(reach(caller), id), found("event", id))
    })
  })
})

/** Ids are compared by their milliseconds since 1970, and nothing is older than those. */
const sinceEpoch = (from: DateTime.Utc | null): DateTime.Utc | null =>
  from !== null && from.epochMillis < 0 ? null : from

const underWay = (id: DeliveryId) =>
  new Conflict({
    code: "not_retryable",
    message: `An attempt of ${id} is under way. Wait for its outcome; if it fails, it is tried again by itself.`
  })
