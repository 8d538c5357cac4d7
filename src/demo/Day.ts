/** The day itself, against a running service: register, publish, and wait until everything has come to rest. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Event from "../domain/Event.ts"
import { EventId } from "../domain/Ids.ts"
import * as CanonicalJson from "../signing/CanonicalJson.ts"
import { Signals } from "../telemetry/Signals.ts"
import type { CrmClient } from "./CrmClient.ts"
import { type Findings, judge } from "./Judge.ts"
import * as Ledger from "./Ledger.ts"
import type { Receiver } from "./Receiver.ts"
import { secondsOfDay, type StoryEvent } from "./Story.ts"
import { subscribers, wantedBy } from "./Subscribers.ts"

export interface Receivers {
  readonly steady: Receiver
  readonly flaky: Receiver
}

export const register = (client: CrmClient, { flaky, steady }: Receivers) =>
  Effect.forEach(subscribers, (subscriber) =>
    Effect.gen(function*() {
      const url = (subscriber.flaky ? flaky : steady).url(subscriber.path)
      const { id, secret } = yield* client.register(subscriber, url)
      yield* Ledger.register({ subscriber, webhookId: id, secret })
    }), { discard: true })

/** As many requests of the CRM at once, at the most. */
const publishers = 8
/** Every so many events the CRM asks again, as it would after an answer that got lost. */
const askedAgain = 12

/** Every event at its time of the day. */
export const publish = (client: CrmClient, story: ReadonlyArray<StoryEvent>, dayMs: number) =>
  Effect.gen(function*() {
    const opened = yield* Clock.currentTimeMillis
    yield* Effect.forEach(story, (event, index) =>
      Effect.gen(function*() {
        const elapsedMs = (yield* Clock.currentTimeMillis) - opened
        yield* Effect.sleep(Math.max(0, event.second / secondsOfDay * dayMs - elapsedMs))
        yield* publishOnce(client, event)
        if (index % askedAgain === askedAgain - 1) yield* publishOnce(client, event)
      }), { concurrency: publishers, discard: true })
  })

const publishOnce = (client: CrmClient, event: StoryEvent) =>
  Effect.flatMap(client.publish(event), ({ deliveries, event_id }) =>
    Ledger.tell(event.name, {
      eventId: event_id,
      body: bodyOf(event, event_id),
      deliveries: deliveries.map(({ id, webhook_id }) => ({ id, webhookId: webhook_id }))
    }))

/** What a receiver has to find, byte for byte. */
const bodyOf = ({ arriving, eventType, occurredAt }: StoryEvent, id: string): string =>
  CanonicalJson.stringify(Event.envelope({ id: EventId.make(id), eventType, occurredAt, payload: arriving }))

/** Until the receivers have everything, and the service's own account is closed. */
export const settle = (client: CrmClient, story: ReadonlyArray<StoryEvent>) =>
  Effect.gen(function*() {
    yield* Effect.repeat(findings(story), { until: ({ missing }) => missing.length === 0, schedule: often })
    yield* Effect.repeat(takeAccount(client), { until: (isClosed) => isClosed, schedule: often })
    yield* count(client)
  })

const often = Schedule.spaced("100 millis")

const takeAccount = (client: CrmClient) =>
  Effect.gen(function*() {
    const { registrations } = yield* Ledger.read
    const rows = yield* Effect.forEach(registrations, ({ webhookId }) => client.deliveriesOf(webhookId))
    yield* Ledger.close(rows.flat())
    for (const { deliveryId, status, webhookId } of rows.flat()) yield* Ledger.follow(deliveryId, webhookId, status)
    return rows.flat().every(({ status }) => status === "delivered" || status === "failed_permanent")
  })

const count = (client: CrmClient) => Effect.flatMap(client.attempts, Ledger.count)

/** Keeps the board's numbers up to date. */
export const observe = (client: CrmClient) =>
  Effect.gen(function*() {
    const signals = yield* PubSub.subscribe(yield* Signals)
    const follow = Effect.flatMap(Queue.take(signals), (signal) =>
      signal._tag === "AttemptRecorded"
        ? Ledger.follow(signal.deliveryId, signal.webhookId, signal.status)
        : Effect.void)
    yield* Effect.forkScoped(Effect.forever(follow))
    yield* Effect.forkScoped(Effect.repeat(Effect.ignore(count(client)), Schedule.spaced("250 millis")))
  })

export const findings = (story: ReadonlyArray<StoryEvent>): Effect.Effect<Findings, never, Ledger.Ledger> =>
  Effect.map(Ledger.read, ({ arrivals, recorded, registrations, told }) =>
    judge({
      webhooks: new Map(registrations.map(({ subscriber, webhookId }) => [webhookId, subscriber.name])),
      arrivals,
      recorded,
      due: story.map(({ eventType, name }) => ({
        name,
        webhookIds: wantedBy(eventType).flatMap((wanting) =>
          registrations.filter(({ subscriber }) => subscriber === wanting).map(({ webhookId }) => webhookId)
        ),
        told: told.get(name) ?? []
      }))
    }))
